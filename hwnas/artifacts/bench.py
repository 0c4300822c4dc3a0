"""All files of artifacts, timed side by side on this machine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from hwnas.arrays import Images
from hwnas.artifacts.bundle import Artifact
from hwnas.artifacts.cells import Cell, Loaded, Loader, cells_of
from hwnas.artifacts.manifest import ParityReport
from hwnas.artifacts.timing import some_images, time_sessions
from hwnas.errors import ConfigError, RuntimeMissingError, first_line
from hwnas.profiling.measure import check_threads
from hwnas.profiling.plan import network_model, prepared
from hwnas.profiling.run import Model
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress
from hwnas.runtimes.base import Session
from hwnas.runtimes.registry import get_runtime
from hwnas.tables.table import Latency, LatencyTable

_REFERENCES = 8


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """What a cell took; see :class:`hwnas.artifacts.cells.Loaded` for the other attributes."""

    cell: Cell
    latency: Latency
    parity: ParityReport | None
    precisions: dict[str, int]
    memory_mb: float | None

    @property
    def images_per_s(self) -> float:
        """Throughput of one stream at the median."""
        return self.cell.batch / self.latency.p50_ms * 1000

    def bounds_ms(self) -> tuple[float, float]:
        """Ends of the median's 95 % confidence interval."""
        half_ms = self.latency.p50_ms * (self.latency.confidence_95 or 0.0)
        return self.latency.p50_ms - half_ms, self.latency.p50_ms + half_ms


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a bench gave.

    Attributes:
        results: by batch and threads, the fastest first.
        lacking: cells that can't run here, and why.
        drift: how much longer a table's own networks took in the same rounds than when the table was made; None
            where no table was given, or it is of another runtime, precision, number of threads or batch.
        confidence_95: relative half-width of the 95 % confidence interval of the median that is known the least.
        unsteadiness_90: half-width, relative, of the middle 90 % of the machine's speeds meanwhile.
    """

    results: list[BenchResult]
    lacking: list[tuple[Cell, str]]
    drift: float | None
    confidence_95: float
    unsteadiness_90: float

    def fastest(self) -> list[tuple[BenchResult, list[BenchResult]]]:
        """For each batch and number of threads the fastest, and those whose confidence intervals reach into its own."""
        groups = groupby(self.results, key=lambda r: (r.cell.batch, r.cell.threads))
        found = []
        for _, (best, *others) in groups:
            found.append((best, [r for r in others if r.bounds_ms()[0] <= best.bounds_ms()[1]]))
        return found


def bench(
    artifacts: Sequence[Artifact],
    *,
    batches: Sequence[int] = (1,),
    threads: Sequence[int] = (1,),
    runtimes: Sequence[str] = (),
    beside: LatencyTable | None = None,
    trusted: bool = False,
    seed: int = 0,
    effort: Effort | None = None,
    progress: Progress | None = None,
) -> Bench:
    """Time every file of every artifact that can run here, all in the same interleaved rounds.

    A file that fails, in whatever way, doesn't keep the others from being timed.

    Args:
        artifacts: whose files.
        batches: images of one inference; a file with a fixed batch is timed with that.
        threads: of one inference.
        runtimes: to run files on, where they take them (:data:`hwnas.artifacts.cells.TAKE_ONNX` take ONNX). None named:
            each file runs on its target's own.
        beside: a table of this machine. Some of its own networks are timed in the same rounds, because a prediction
            holds for the machine as it was then, and shared machines change their speed.
        trusted: whether engines that nothing vouches for may be loaded.
        seed: of inputs and orders.
        effort: how long to measure.
        progress: called with (what, done, total, note).

    Raises:
        ConfigError: a batch below 1, a number of threads this machine doesn't have, or no file for these runtimes.
        RuntimeMissingError: no file can be timed here.
        ModelError: the clock is unusable.
    """
    for batch in batches:
        if batch < 1:
            raise ConfigError(f"batch must be at least 1, got {batch}")
    for number in threads:
        check_threads(number)
    cells = list(cells_of(artifacts, dict.fromkeys(batches), dict.fromkeys(threads), runtimes))
    if not cells:
        raise ConfigError(f"no file of these artifacts runs on {', '.join(runtimes)}")
    loader = Loader(trusted)
    loaded: dict[Any, Loaded] = {}
    lacking: list[tuple[Cell, str]] = []
    for index, cell in enumerate(cells):
        try:
            loaded[index] = loader.load(cell)
        except Exception as error:  # whatever a runtime raises: the rest goes on
            lacking.append((cell, first_line(error)))
        if progress:
            progress("loading", index + 1, len(cells), f"{len(lacking)} can't run here" if lacking else "")
    if not loaded:
        raise _nothing_ran(lacking)
    references = _references(beside, [cells[index] for index in loaded]) if beside else {}
    sessions = {index: (one.session, one.images) for index, one in loaded.items()}
    timing = time_sessions(sessions | references, effort or Effort(), seed, progress)
    lacking += [(cells[index], reason) for index, reason in timing.failed.items() if index in loaded]
    results = [
        BenchResult(
            cell=cells[index], latency=timing.latency[index],
            parity=one.parity, precisions=one.precisions, memory_mb=one.memory_mb,
        )
        for index, one in loaded.items() if index in timing.latency
    ]  # fmt: skip
    if not results:
        raise _nothing_ran(lacking)
    now_ms = {key: timing.latency[key].p50_ms for key in references if key in timing.latency}
    return Bench(
        results=sorted(results, key=lambda r: (r.cell.batch, r.cell.threads, r.latency.p50_ms)),
        lacking=lacking,
        drift=beside.drift(now_ms) if beside and now_ms else None,
        confidence_95=timing.confidence_95,
        unsteadiness_90=timing.unsteadiness_90,
    )


def _nothing_ran(lacking: Sequence[tuple[Cell, str]]) -> RuntimeMissingError:
    cell, reason = lacking[0]
    return RuntimeMissingError(f"no file can be timed here; {cell.file.target}: {reason}")


def _references(table: LatencyTable, cells: Collection[Cell]) -> dict[Any, tuple[Session, Images]]:
    """Some of the table's own networks, by their choices, where a cell is of the table's conditions."""
    device = table.device
    conditions = {(c.runtime, c.file.settings.precision, c.threads, c.batch) for c in cells}
    if table.space is None or (device.runtime, device.precision, device.threads, device.batch) not in conditions:
        return {}
    space, runtime = table.get_space(), get_runtime(device.runtime, device.options)
    found: dict[Any, tuple[Session, Images]] = {}
    for network in table.networks[:_REFERENCES]:
        model = prepared(network_model(space, network.choices), runtime, device.precision)
        if isinstance(model, Model):
            session = runtime.load(model.data, threads=device.threads, precision=device.precision)
            found[network.choices] = (session, some_images(model.input_chw, device.batch))
    return found
