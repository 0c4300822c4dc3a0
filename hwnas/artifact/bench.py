"""All files of artifacts, timed side by side on this machine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from hwnas.artifact.bundle import Artifact
from hwnas.artifact.manifest import ExportedFile
from hwnas.artifact.timing import time_sessions
from hwnas.errors import ConfigError, RuntimeMissingError
from hwnas.profile.measure import check_threads
from hwnas.profile.plan import network_model, prepared
from hwnas.profile.run import Model
from hwnas.profile.timer import Effort
from hwnas.progress import Progress
from hwnas.runtimes.base import Session
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
        lacking: why files can't run here, by (artifact, target).
    """

    results: list[BenchResult]
    drift: float | None
    lacking: dict[tuple[str, str], str]


def bench(
    artifacts: Sequence[Artifact],
    *,
    threads: int = 1,
    batch: int = 1,
    beside: LatencyTable | None = None,
    trusted: bool = False,
    seed: int = 0,
    effort: Effort | None = None,
    progress: Progress | None = None,
) -> Bench:
    """Time every file of every artifact that can run here, all in the same interleaved rounds.

    Args:
        artifacts: whose files.
        threads: of one inference.
        batch: images of one inference.
        beside: a table of this machine. Some of its own networks are timed in the same rounds, because a prediction
            holds for the machine as it was then, and shared machines change their speed.
        trusted: whether engines that nothing vouches for may be loaded.
        seed: of inputs and orders.
        effort: how long to measure.
        progress: called with (what, done, total).

    Raises:
        ConfigError: a batch below 1, or a number of threads this machine doesn't have.
        ModelError: a file was altered.
    """
    if batch < 1:
        raise ConfigError(f"batch must be at least 1, got {batch}")
    check_threads(threads)
    chosen: list[tuple[Artifact, ExportedFile]] = []
    lacking: dict[tuple[str, str], str] = {}
    sessions: dict[Any, tuple[Session, tuple[int, int, int, int]]] = {}
    for artifact in artifacts:
        for file in artifact.manifest.files:
            try:
                session = artifact.open(file, threads=threads, trusted=trusted)
            except RuntimeMissingError as error:
                lacking[str(artifact.path), file.target] = str(error)
                continue
            sessions[len(chosen)] = (session, (batch, *artifact.manifest.input_chw))
            chosen.append((artifact, file))
    if not sessions:
        raise RuntimeMissingError(next(iter(lacking.values()), "there is no file to time"))
    references = _references(beside, [file for _, file in chosen], threads, batch) if beside else {}
    latency = time_sessions(sessions | references, effort or Effort(), seed, progress)
    results = [
        BenchResult(artifact=str(a.path), file=f, threads=threads, batch=batch, latency=latency[i])
        for i, (a, f) in enumerate(chosen)
    ]
    drift = beside.drift({key: latency[key].p50_ms for key in references}) if beside and references else None
    return Bench(results=sorted(results, key=lambda result: result.latency.p50_ms), drift=drift, lacking=lacking)


def _references(
    table: LatencyTable, files: Collection[ExportedFile], threads: int, batch: int
) -> dict[tuple[int, ...], tuple[Session, tuple[int, int, int, int]]]:
    """Some of the table's own networks, where it is of a file's runtime and precision, and these threads and batch."""
    device = table.device
    conditions = {(file.settings.runtime, file.settings.precision) for file in files}
    if table.space is None or (device.threads, device.batch) != (threads, batch):
        return {}
    if (device.runtime, device.precision) not in conditions:
        return {}
    space, runtime = table.get_space(), get_runtime(device.runtime, device.options)
    found: dict[tuple[int, ...], tuple[Session, tuple[int, int, int, int]]] = {}
    for network in table.networks[:_REFERENCES]:
        model = prepared(network_model(space, network.choices), runtime, device.precision)
        if isinstance(model, Model):
            session = runtime.load(model.data, threads=threads, precision=device.precision)
            found[network.choices] = (session, (batch, *model.input_chw))
    return found
