"""`bench`: all files of artifacts, timed side by side on this machine."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from hwnas.arguments import checked
from hwnas.arrays import Array
from hwnas.artifacts.bundle import Artifact, load_artifact
from hwnas.artifacts.cells import TAKE_ONNX, Cell, Loaded, Loader, cells_of
from hwnas.artifacts.timing import time_sessions
from hwnas.errors import ConfigError, RuntimeMissingError, first_line, whole
from hwnas.flow.open import open_table
from hwnas.flow.predict import predicted_interval_ms
from hwnas.onnx.stand_in import stand_in
from hwnas.profiling.local import another_device, check_threads
from hwnas.profiling.plan import network_model, prepared
from hwnas.profiling.run import Model
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress, say
from hwnas.records.bench import BenchCell, BenchRecord, BenchRow, Fastest, Lacking
from hwnas.runtimes.base import Session
from hwnas.runtimes.registry import get_runtime
from hwnas.tables.table import Latency, LatencyTable


@checked
def bench(
    artifacts: Artifact | Path | str | Sequence[Artifact | Path | str],
    *,
    table: LatencyTable | Path | str | None = None,
    batches: Sequence[int] = (1,),
    threads: Sequence[int] = (1,),
    runtimes: Sequence[str] = (),
    all_runtimes: bool = False,
    trusted: bool = False,
    seed: int = 0,
    effort: Effort | None = None,
    progress: Progress | None = None,
) -> BenchRecord:
    """Time every file of every artifact that can run here, all in the same interleaved rounds.

    A file that fails, in whatever way, doesn't keep the others from being timed.

    Args:
        artifacts: whose files; one or several.
        table: of this machine, whose prediction is set beside. Some of its own networks are timed in the same rounds,
            because a prediction holds for the machine as it was then, and shared machines change their speed.
        batches: images of one inference; a file with a fixed batch is timed with that.
        threads: of one inference.
        runtimes: to run files on, where they take them (:data:`hwnas.artifacts.cells.TAKE_ONNX` take ONNX). None named:
            each file runs on its target's own.
        all_runtimes: run ONNX on every runtime that takes it.
        trusted: whether engines that nothing vouches for may be loaded.
        seed: of inputs and orders.
        effort: how long to measure.
        progress: called with (what, done, total, note).

    Raises:
        ConfigError: a batch below 1, a number of threads this machine doesn't have, or no file for these runtimes.
        RuntimeMissingError: no file can be timed here.
        ModelError: an artifact can't be read, or the clock is unusable.
        TableError, MissingOpError: the table can't be read, or isn't of an artifact's space.
    """
    seed = whole("seed", seed)
    given = [artifacts] if isinstance(artifacts, Artifact | Path | str) else artifacts
    if not given:
        raise ConfigError("there is nothing to time; give an artifact or more")
    opened = [each if isinstance(each, Artifact) else load_artifact(Path(each)) for each in given]
    beside = open_table(table) if table is not None else None
    predicted_ms = {
        each.path: predicted_interval_ms(beside, each.manifest.space_of_network(), each.arch.choices)[0]
        for each in opened
        if beside
    }
    if all_runtimes:
        runtimes = [*runtimes, *TAKE_ONNX, *(file.settings.runtime for each in opened for file in each.manifest.files)]
    for batch in batches:
        if batch < 1:
            raise ConfigError(f"batch must be at least 1, got {batch}")
    for number in threads:
        check_threads(number)
    cells = list(cells_of(opened, dict.fromkeys(batches), dict.fromkeys(threads), runtimes))
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
    sessions = {index: (one.session, [one.images]) for index, one in loaded.items()}
    timing = time_sessions(sessions | references, effort or Effort(), seed, progress)
    lacking += [(cells[index], reason) for index, reason in timing.failed.items() if index in loaded]
    rows = [
        _row(cells[index], one, timing.latency[index], predicted_ms, beside)
        for index, one in loaded.items()
        if index in timing.latency
    ]
    if not rows:
        raise _nothing_ran(lacking)
    rows.sort(key=lambda row: (row.batch, row.threads, row.p50_ms))
    now_ms = {key: timing.latency[key].p50_ms for key in references if key in timing.latency}
    drift = beside.drift(now_ms) if beside else None
    return BenchRecord(
        results=tuple(rows),
        fastest=tuple(fastest(rows)),
        lacking=tuple(Lacking(**_named(cell).plain(), lacks=reason) for cell, reason in lacking),
        drift=drift.ratio if drift else None,
        drift_error_90=drift.error_90 if drift else None,
        confidence_95=timing.confidence_95,
        unsteadiness_90=timing.unsteadiness_90,
    )


def fastest(rows: Sequence[BenchRow]) -> Iterator[Fastest]:
    """For each batch and number of threads the fastest, and those whose confidence intervals reach into its own.

    Args:
        rows: ordered by batch, threads and median.
    """
    for _, (best, *others) in groupby(rows, key=lambda row: (row.batch, row.threads)):
        equal = tuple(row.cell for row in others if row.bounds_ms[0] <= best.bounds_ms[1])
        yield Fastest(**best.cell.plain(), p50_ms=best.p50_ms, as_fast=equal)


def _row(
    cell: Cell, loaded: Loaded, latency: Latency, predicted_ms: Mapping[Path, float], beside: LatencyTable | None
) -> BenchRow:
    return BenchRow(
        **_named(cell).plain(), **latency.plain(), precision=cell.file.settings.precision,
        images_per_s=cell.batch / latency.p50_ms * 1000, bytes=cell.file.bytes, parity=loaded.parity,
        precisions=loaded.precisions, memory_mb=loaded.memory_mb,
        predicted_ms=predicted_ms[cell.artifact.path] if beside and _comparable(cell, beside) else None,
    )  # fmt: skip


def _named(cell: Cell) -> BenchCell:
    return BenchCell(
        artifact=str(cell.artifact.path), target=cell.file.target, runtime=cell.runtime, threads=cell.threads,
        batch=cell.batch,
    )  # fmt: skip


def _comparable(cell: Cell, table: LatencyTable) -> bool:
    device, precision = table.device, cell.file.settings.precision
    conditions = device.runtime, device.precision, device.threads, device.batch
    return conditions == (cell.runtime, precision, cell.threads, cell.batch)


def _nothing_ran(lacking: Sequence[tuple[Cell, str]]) -> RuntimeMissingError:
    cell, reason = lacking[0]
    return RuntimeMissingError(f"no file can be timed here; {cell.file.target}: {reason}")


def _references(table: LatencyTable, cells: Collection[Cell]) -> dict[Any, tuple[Session, Sequence[Array]]]:
    """Some of the table's own networks, by their choices, where a cell is of the table's conditions."""
    device = table.device
    if table.space is None or not any(_comparable(cell, table) for cell in cells):
        return {}
    space, runtime = table.get_space(), get_runtime(device.runtime, device.options)
    if other := another_device(table, runtime):
        say(f"{other}; so predictions and drift compare two devices")
    found: dict[Any, tuple[Session, Sequence[Array]]] = {}
    for choices in table.references:
        model = prepared(network_model(space, choices, device.batch), runtime, device.precision)
        if isinstance(model, Model):
            session = runtime.load(model.data, threads=device.threads, precision=device.precision)
            found[choices] = (session, [stand_in(port) for port in model.inputs])
    return found
