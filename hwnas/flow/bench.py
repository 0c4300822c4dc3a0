"""`bench`: all files of artifacts, and anyone's models, timed side by side on this machine."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from hwnas.arguments import checked
from hwnas.arrays import Array
from hwnas.artifacts.bundle import Artifact, load_artifact
from hwnas.artifacts.cells import TAKE_ONNX, Cell, Loaded, Loader, cells_of
from hwnas.artifacts.model_cells import ModelCell, ModelLoader, model_cells
from hwnas.artifacts.timing import time_sessions
from hwnas.errors import ConfigError, RuntimeMissingError, first_line, whole
from hwnas.flow.model import ModelLike, names_model, open_model
from hwnas.flow.open import open_table
from hwnas.flow.predict import predicted_interval_ms
from hwnas.onnx.model import OnnxModel, Shapes
from hwnas.onnx.stand_in import stand_in
from hwnas.profiling.local import another_device, check_threads
from hwnas.profiling.plan import network_model, prepared
from hwnas.profiling.run import Model
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress, say
from hwnas.records.bench import BenchCell, BenchRecord, BenchRow, Fastest, Lacking
from hwnas.records.network import OfArch
from hwnas.runtimes.base import Session
from hwnas.runtimes.registry import get_runtime
from hwnas.tables.table import Latency, LatencyTable


@checked
def bench(
    artifacts: Artifact | ModelLike | Sequence[Artifact | ModelLike],
    *,
    shapes: Shapes | None = None,
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
    """Time every file of every artifact, and every model, that can run here, all in the same interleaved rounds.

    A file that fails, in whatever way, doesn't keep the others from being timed.

    Args:
        artifacts: whose files; one or several. Or models of anyone's: each runs on all runtimes that are installed,
            in every precision that needs no images, and is held against what its graph gives as it is.
        shapes: {input: shape, the batch included} of models that leave sizes open.
        table: of this machine, whose prediction is set beside. Some of its own networks are timed in the same rounds,
            because a prediction holds for the machine as it was then, and shared machines change their speed.
        batches: images of one inference; a file with a fixed batch is timed with that, a model with that of its shapes.
        threads: of one inference.
        runtimes: to run files on, where they take them (:data:`hwnas.artifacts.cells.TAKE_ONNX` take ONNX). None named:
            each file runs on its target's own, a model on all.
        all_runtimes: run ONNX on every runtime that takes it.
        trusted: whether engines that nothing vouches for may be loaded.
        seed: of inputs and orders.
        effort: how long to measure.
        progress: called with (what, done, total, note).

    Raises:
        ConfigError: a batch below 1, a number of threads this machine doesn't have, no file for these runtimes, or
            shapes, batches or a table for what has no use for them.
        RuntimeMissingError: no file can be timed here, or a model is to run on what isn't installed.
        ModelError: an artifact or a model can't be read, or the clock is unusable.
        TableError, MissingOpError: the table can't be read, or isn't of an artifact's space.
    """
    seed = whole("seed", seed)
    given = cast(Sequence[Artifact | ModelLike], artifacts if _several(artifacts) else [artifacts])
    if not given:
        raise ConfigError("there is nothing to time; give an artifact or a model")
    named = [_opened(each, shapes) for each in given]
    opened = [each for each in named if isinstance(each, Artifact)]
    models = [each for each in named if isinstance(each, OnnxModel)]
    if not opened:
        _check_models_alone(table is not None, batches)
    elif shapes and not models:
        raise ConfigError("shapes are of models, and none is given; an artifact's batch is its own option")
    beside = open_table(table) if table is not None else None
    predicted_ms = {
        str(each.path): predicted_interval_ms(beside, each.of_arch.space_of_network(), each.arch.choices)[0]
        for each in opened
        if beside and isinstance(each.manifest.network, OfArch)
    }
    if all_runtimes:
        runtimes = [*runtimes, *TAKE_ONNX, *(file.settings.runtime for each in opened for file in each.manifest.files)]
    for batch in batches:
        if batch < 1:
            raise ConfigError(f"batch must be at least 1, got {batch}")
    for number in threads:
        check_threads(number)
    cells: list[Cell | ModelCell] = [
        *cells_of(opened, dict.fromkeys(batches), dict.fromkeys(threads), runtimes),
        *model_cells(models, dict.fromkeys(threads), () if all_runtimes else tuple(dict.fromkeys(runtimes))),
    ]
    if not cells:
        raise ConfigError(f"no file of these artifacts runs on {', '.join(runtimes)}")
    loader, model_loader = Loader(trusted), ModelLoader()
    loaded: dict[Any, Loaded] = {}
    lacking: list[tuple[BenchCell, str]] = []
    for index, cell in enumerate(cells):
        try:
            loaded[index] = model_loader.load(cell) if isinstance(cell, ModelCell) else loader.load(cell)
        except Exception as error:  # whatever a runtime raises: the rest goes on
            lacking.append((cell.named, first_line(error)))
        if progress:
            progress("loading", index + 1, len(cells), f"{len(lacking)} can't run here" if lacking else "")
    if not loaded:
        raise _nothing_ran(lacking)
    references = _references(beside, [cells[index] for index in loaded]) if beside else {}
    sessions = {index: (one.session, one.feed) for index, one in loaded.items()}
    timing = time_sessions(sessions | references, effort or Effort(), seed, progress)
    lacking += [(cells[index].named, reason) for index, reason in timing.failed.items() if index in loaded]
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
        lacking=tuple(Lacking(**cell.plain(), lacks=reason) for cell, reason in lacking),
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
    cell: Cell | ModelCell,
    loaded: Loaded,
    latency: Latency,
    predicted_ms: Mapping[str, float],
    beside: LatencyTable | None,
) -> BenchRow:
    named = cell.named
    return BenchRow(
        **named.plain(), **latency.plain(), precision=cell.precision,
        images_per_s=named.batch / latency.p50_ms * 1000, bytes=cell.bytes, parity=loaded.parity,
        precisions=loaded.precisions, memory_mb=loaded.memory_mb,
        predicted_ms=predicted_ms.get(named.artifact) if beside and _comparable(cell, beside) else None,
    )  # fmt: skip


def _several(given: object) -> bool:
    """Whether it is a list of artifacts and models; a tuple may also be one module and the inputs that it takes."""
    one = isinstance(given, tuple) and len(given) == 2 and hasattr(given[0], "forward")
    return isinstance(given, list | tuple) and not (one and not hasattr(given[1], "forward"))


def _opened(given: Artifact | ModelLike, shapes: Shapes | None) -> Artifact | OnnxModel:
    if isinstance(given, Artifact):
        return given
    if isinstance(given, str | Path) and not names_model(given):
        return load_artifact(given)
    return open_model(given, shapes)


def _check_models_alone(with_table: bool, batches: Sequence[int]) -> None:
    """What only files of artifacts have a use for is refused."""
    if with_table:
        raise ConfigError("a table is of a space's networks, and only models are given; an artifact has a prediction")
    if tuple(batches) != (1,):
        raise ConfigError("a model's batch is in its shapes, such as --shape images=8x3x224x224")


def _comparable(cell: Cell | ModelCell, table: LatencyTable) -> bool:
    """Whether it is of an artifact, under the table's conditions."""
    device = table.device
    conditions = device.runtime, device.precision, device.threads, device.batch
    return isinstance(cell, Cell) and conditions == (cell.runtime, cell.precision, cell.threads, cell.batch)


def _nothing_ran(lacking: Sequence[tuple[BenchCell, str]]) -> RuntimeMissingError:
    cell, reason = lacking[0]
    return RuntimeMissingError(f"no file can be timed here; {cell.target} on {cell.runtime}: {reason}")


def _references(table: LatencyTable, cells: Collection[Cell | ModelCell]) -> dict[Any, tuple[Session, Sequence[Array]]]:
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
