"""All files of artifacts, timed side by side on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.artifact.bundle import Artifact, ExportedFile
from hwnas.errors import ConfigError
from hwnas.profile.measure import Effort, Model, Progress, measure_models
from hwnas.runtimes.base import get_runtime
from hwnas.tables.table import Latency


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """One file's latency for one batch."""

    artifact: str
    file: ExportedFile
    threads: int
    batch: int
    latency: Latency

    @property
    def images_per_s(self) -> float:
        """Throughput of one stream at the median."""
        return self.batch / self.latency.p50_ms * 1000


def bench(
    artifacts: Sequence[Artifact],
    *,
    threads: int = 1,
    batch: int = 1,
    seed: int = 0,
    effort: Effort | None = None,
    progress: Progress | None = None,
) -> list[BenchResult]:
    """Time every file of every artifact, interleaved per runtime; fastest first.

    Raises:
        ConfigError: a batch below 1, or a number of threads this machine doesn't have.
        ModelError: a file was altered.
    """
    if batch < 1:
        raise ConfigError(f"batch must be at least 1, got {batch}")
    groups: dict[tuple[str, str], list[tuple[Artifact, ExportedFile]]] = {}
    for artifact in artifacts:
        for file in artifact.manifest.files:
            groups.setdefault((file.runtime, file.precision), []).append((artifact, file))
    results = []
    for (runtime, precision), members in groups.items():
        models = {i: Model(a.read(f), a.manifest.input_chw) for i, (a, f) in enumerate(members)}
        latency = measure_models(
            models, get_runtime(runtime), threads=threads, precision=precision, batch=batch,
            rng=np.random.default_rng(seed), effort=effort, progress=progress,
        ).latency  # fmt: skip
        results += [
            BenchResult(artifact=str(a.path), file=f, threads=threads, batch=batch, latency=latency[i])
            for i, (a, f) in enumerate(members)
        ]
    return sorted(results, key=lambda result: result.latency.p50_ms)
