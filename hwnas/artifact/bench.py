"""All files of artifacts, timed side by side on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwnas.artifact.bundle import Artifact, ExportedFile
from hwnas.errors import ConfigError
from hwnas.profile.measure import measure_models
from hwnas.profile.plan import network_model, prepared
from hwnas.profile.run import Model
from hwnas.profile.timer import Effort
from hwnas.progress import Progress
from hwnas.runtimes.base import Runtime
from hwnas.runtimes.registry import get_runtime
from hwnas.tables.table import Latency, LatencyTable

_REFERENCES = 8


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


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a bench gave.

    Attributes:
        results: fastest first.
        drift: how much longer a table's own networks took in the same rounds than when the table was made; None
            where no table was given, or it is of another runtime, precision, number of threads or batch.
    """

    results: list[BenchResult]
    drift: float | None


def bench(
    artifacts: Sequence[Artifact],
    *,
    threads: int = 1,
    batch: int = 1,
    beside: LatencyTable | None = None,
    seed: int = 0,
    effort: Effort | None = None,
    progress: Progress | None = None,
) -> Bench:
    """Time every file of every artifact, interleaved per runtime.

    Args:
        artifacts: whose files.
        threads: of one inference.
        batch: images of one inference.
        beside: a table of this machine. Some of its own networks are timed in the same rounds, because a prediction
            holds for the machine as it was then, and shared machines change their speed.
        seed: of inputs and orders.
        effort: how long to measure.
        progress: called with (what, done, total).

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
    results, drift = [], None
    for (name, precision), members in groups.items():
        runtime = get_runtime(name)
        models: dict[int | tuple[int, ...], Model] = {
            i: Model(a.read(f), a.manifest.input_chw) for i, (a, f) in enumerate(members)
        }
        references = _references(beside, runtime, (precision, threads, batch))
        latency = measure_models(
            models | references,
            runtime,
            threads=threads,
            precision=precision,
            batch=batch,
            rng=np.random.default_rng(seed),
            effort=effort,
            progress=progress,
        ).latency
        results += [
            BenchResult(artifact=str(a.path), file=f, threads=threads, batch=batch, latency=latency[i])
            for i, (a, f) in enumerate(members)
        ]
        if beside and references:
            drift = beside.drift({key: latency[key].p50_ms for key in references if isinstance(key, tuple)})
    return Bench(results=sorted(results, key=lambda result: result.latency.p50_ms), drift=drift)


def _references(
    table: LatencyTable | None, runtime: Runtime, conditions: tuple[str, int, int]
) -> dict[int | tuple[int, ...], Model]:
    """Some of the table's own networks, where it is of this runtime and these precision, threads and batch."""
    if table is None or table.space is None:
        return {}
    device = table.device
    if (device.runtime, device.precision, device.threads, device.batch) != (runtime.name, *conditions):
        return {}
    space = table.get_space()
    models: dict[int | tuple[int, ...], Model] = {}
    for network in table.networks[:_REFERENCES]:
        model = prepared(network_model(space, network.choices), runtime, device.precision)
        if isinstance(model, Model):
            models[network.choices] = model
    return models
