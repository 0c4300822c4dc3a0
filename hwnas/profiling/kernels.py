"""What to measure so that anyone's models can be priced: their distinct kernels, and they themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import ceil, hypot
from pathlib import Path
from statistics import median
from typing import Annotated, Any, NamedTuple, Self

from pydantic import Field, NonNegativeInt, WrapValidator, model_validator

from hwnas.errors import KitError, ModelError
from hwnas.graph.kernel import Kernel, Launch
from hwnas.graph.kernel_cost import madds_or_zero
from hwnas.onnx.kernel_model import kernel_model
from hwnas.onnx.model import OnnxModel
from hwnas.profiling.plan import check_effort, reader
from hwnas.profiling.result import Failure, Result, device_of_result, protocol_of
from hwnas.profiling.run import Model
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress
from hwnas.record import Record, Sha256, ShortText
from hwnas.runtimes.base import Runtime
from hwnas.tables.device import Conditions
from hwnas.tables.kernel_table import FailedKernel, KernelTable, Launched, MeasuredKernel, MeasuredModel, Measuring
from hwnas.tables.table import Latency
from hwnas.version import __version__

_ANCHORS = 16
_LASTING_MS = 0.02, 20.0
_LEAST_MS = 1e-4
"""Of what is the difference of two latencies, and too little to be told."""

_MADDS_PER_MS, _BYTES_PER_MS = 6e7, 1.5e7
"""Of a fast core; how many copies of a kernel are timed at once is chosen by them, no latency is."""
_CALL_MS = 0.1, 1.5
"""A call of copies should take so long, to make entering the runtime little of it, and needn't take longer."""
_CACHE_BYTES = 3_000_000
"""Copies' weights together: more than a core's own cache holds, as those of a network are."""
_COPIES = 2, 64


class PlannedModel(Record):
    """A whole model to time, see :class:`hwnas.tables.kernel_table.MeasuredModel`."""

    name: ShortText
    sha256: Sha256
    launches: Annotated[tuple[Launched, ...], Field(min_length=1)]


class KernelPlan(Record):
    """A request to measure. Its entries are its anchors, its kernels, their neighbours, and its models.

    Attributes:
        seed: of orders.
        anchors: kernels that were measured before, measured again: they tell how much slower the machine is now.
        kernels: those of the models that nobody has measured yet.
        neighbours: of these kernels, whose latency is taken off theirs.
    """

    conditions: Conditions
    effort: Annotated[Effort, WrapValidator(check_effort)]
    seed: NonNegativeInt
    hwnas: str
    anchors: tuple[Kernel, ...]
    kernels: tuple[Kernel, ...]
    neighbours: tuple[Kernel, ...] = ()
    models: tuple[PlannedModel, ...]

    @model_validator(mode="after")
    def _each_entry_once(self) -> Self:
        models = [model.sha256 for model in self.models]
        if any(len(set(part)) < len(part) for part in (self.anchors, self.kernels, self.neighbours, models)):
            raise ValueError("an entry is there twice")
        if not {kernel.neighbour for kernel in self.kernels} <= {None, *self.neighbours}:
            raise ValueError("a kernel is without its neighbour")
        return self

    @property
    def entries(self) -> tuple[Kernel | PlannedModel, ...]:
        """What is measured, in order."""
        return (*self.anchors, *self.kernels, *self.neighbours, *self.models)


class Prepared(NamedTuple):
    """A model as its runtime loads it, and the kernels that it launches."""

    model: OnnxModel
    data: bytes
    launches: tuple[Launch, ...]


def prepare(
    models: Sequence[OnnxModel], runtime: Runtime, precision: str, progress: Progress | None = None
) -> list[Prepared]:
    """The kernels of each model, as ``runtime`` launches it in this precision.

    Raises:
        ModelError: the runtime can't read a model, has no such precision, or doesn't tell its kernels.
    """
    found = []
    for model in models:
        try:
            data = runtime.prepare(model.data, precision)
            found.append(Prepared(model, data, runtime.kernels(data, precision)))
        except ModelError as error:
            raise ModelError(f"{model.name}: {error}") from None
        if progress:
            progress("reading kernels", len(found), len(models), model.name)
    return found


def plan_kernels(
    models: Sequence[Prepared],
    conditions: Conditions,
    *,
    also: Sequence[Kernel] = (),
    known: KernelTable | None = None,
    effort: Effort | None = None,
    seed: int = 0,
) -> KernelPlan:
    """Every distinct kernel, of models and ``also``, that isn't in the table ``known``, and the models that aren't."""
    had, models_had = _had(known)
    every = {launch.kernel.key: launch.kernel for each in models for launch in each.launches if launch.kernel}
    every |= {kernel.key: kernel for kernel in also}
    needed = [kernel for key, kernel in every.items() if key not in had]
    neighbours = {each.key: each for kernel in needed if (each := kernel.neighbour)}
    distinct = {each.model.sha256: each for each in models if each.model.sha256 not in models_had}
    return KernelPlan(
        conditions=conditions,
        effort=effort or Effort(),
        seed=seed,
        hwnas=__version__,
        anchors=_anchors(known) if known else (),
        kernels=tuple(needed),
        neighbours=tuple(neighbours.values()),
        models=tuple(
            PlannedModel(name=each.model.name[-200:], sha256=sha256, launches=tuple(map(launched, each.launches)))
            for sha256, each in distinct.items()
        ),
    )


def _had(known: KernelTable | None) -> tuple[set[str], set[str]]:
    """Keys of the kernels, and hashes of the models, that a table has."""
    if known is None:
        return set(), set()
    return {*known.by_key, *known.why_failed}, {model.sha256 for model in known.models}


def _anchors(known: KernelTable) -> tuple[Kernel, ...]:
    """Some of a table's kernels, fast and slow ones, of those that are timed as they are, and long enough."""
    alone = [each for each in known.kernels if not each.kernel.beside]
    lasting = sorted((each for each in alone if _LASTING_MS[0] <= each.p50_ms <= _LASTING_MS[1]), key=_p50_ms)
    every = max(len(lasting) // _ANCHORS, 1)
    return tuple(each.kernel for each in lasting[every // 2 :: every][:_ANCHORS])


def _p50_ms(entry: Latency) -> float:
    return entry.p50_ms


def launched(launch: Launch) -> Launched:
    """A launch as files have it."""
    return Launched(name=launch.name, kernel=launch.kernel.key if launch.kernel else None, uncut=launch.uncut)


def readers(
    plan: KernelPlan, models: Sequence[Prepared], runtime: Runtime, harmful: Mapping[str, str] | None = None
) -> Iterator[Callable[[], Model]]:
    """What gives each entry's model when it is to be loaded; ``harmful`` are {key: why} kernels that aren't to be."""
    by_sha256 = {each.model.sha256: each for each in models}
    for kernel in (*plan.anchors, *plan.kernels, *plan.neighbours):
        why = (harmful or {}).get(kernel.key)
        copies = copies_of(kernel) if runtime.runs_as_is and not kernel.beside else 1
        yield reader(why) if why else partial(alone, kernel, copies)
    for planned in plan.models:
        whole = by_sha256[planned.sha256]
        yield partial(Model, whole.data, whole.model.inputs)


def alone(kernel: Kernel, copies: int = 1) -> Model:
    """What is loaded to time a kernel by itself, or copies of it."""
    return Model(*kernel_model(kernel, copies), as_is=True, copies=copies)


def copies_of(kernel: Kernel) -> int:
    """How many copies of a kernel are timed at once, where the runtime runs them all."""
    weights_bytes = sum(value.bytes for value in kernel.values if value.constant)
    about_ms = madds_or_zero(kernel) / _MADDS_PER_MS + sum(value.bytes for value in kernel.values) / _BYTES_PER_MS
    fewest, most = _COPIES
    to_last, not_too_long = (ms / max(about_ms, 1e-3) for ms in _CALL_MS)
    to_fill_cache = _CACHE_BYTES / weights_bytes if weights_bytes * most >= _CACHE_BYTES else 0.0
    return ceil(max(min(max(to_last, to_fill_cache), not_too_long, most), fewest))


def kernel_table_of(plan: KernelPlan, data: Any, where: Path | str, known: KernelTable | None = None) -> KernelTable:
    """The table that a result of ``plan`` makes, not calibrated; models that the runtime can't run aren't in it.

    All that the table ``known`` has, which the plan was made beside, is in it as well.

    Raises:
        KitError: a field is missing, unknown or out of range, the number of entries isn't the plan's, or the runtime
            isn't.
    """
    result = Result.of_plain(data, where)
    entries, found = plan.entries, result.entries
    if len(found) != len(entries):
        raise KitError(f"{where} has {len(found)} entries, its plan has {len(entries)}; measure again")
    reference = entries[min(result.reference, len(entries) - 1)]
    named = f"model {reference.name}" if isinstance(reference, PlannedModel) else str(reference)
    slowdown = _slowdown(plan.anchors, found, known)
    kernels, failed, models = [], [], []
    found_of = dict(zip(entries, found, strict=True))
    had, models_had = _had(known)
    for kernel in (each for each in plan.kernels if each.key not in had):
        value = found_of[kernel]
        if neighbour := kernel.neighbour:
            value = _less(value, found_of[neighbour])
        if isinstance(value, Failure):
            failed.append(FailedKernel(kernel=kernel, reason=value.failed))
        else:
            kernels.append(MeasuredKernel(kernel=kernel, **_at_that_speed(value, slowdown)))
    for model in (each for each in plan.models if each.sha256 not in models_had):
        value = found_of[model]
        if isinstance(value, Latency):
            models.append(MeasuredModel(**dict(model), **_at_that_speed(value, slowdown)))
    protocol = protocol_of(result, plan.effort, plan.seed, plan.hwnas, named)
    return KernelTable(
        device=device_of_result(result, plan.conditions, where),
        measured=(*(known.measured if known else ()), Measuring(**dict(protocol), slowdown=slowdown)),
        kernels=(*(known.kernels if known else ()), *kernels),
        failed=(*(known.failed if known else ()), *failed),
        models=(*(known.models if known else ()), *models),
    )


def _slowdown(anchors: Sequence[Kernel], now: Sequence[Latency | Failure], known: KernelTable | None) -> float:
    """Of the machine since a table was made: the median ratio of its kernels' times now to those in it."""
    pairs = zip(anchors, now, strict=False)
    ratios = [each.p50_ms / known.by_key[k.key].p50_ms for k, each in pairs if known and isinstance(each, Latency)]
    return median(ratios) if ratios else 1.0


def _less(whole: Latency | Failure, beside: Latency | Failure) -> Latency | Failure:
    """What is left of a kernel's latency without its neighbour's."""
    if isinstance(whole, Failure) or isinstance(beside, Failure):
        return whole if isinstance(whole, Failure) else beside
    p10_ms, p50_ms, p90_ms = (max(ms - beside.p50_ms, _LEAST_MS) for ms in (whole.p10_ms, whole.p50_ms, whole.p90_ms))
    parts_ms = [each.p50_ms * each.confidence_95 for each in (whole, beside) if each.confidence_95 is not None]
    confidence_95 = min(hypot(*parts_ms) / p50_ms, 1.0) if len(parts_ms) == len((whole, beside)) else None
    return Latency(p50_ms=p50_ms, p10_ms=p10_ms, p90_ms=p90_ms, count=whole.count, confidence_95=confidence_95)


def _at_that_speed(latency: Latency, slowdown: float) -> dict[str, Any]:
    times = {name: getattr(latency, name) / slowdown for name in ("p50_ms", "p10_ms", "p90_ms")}
    return {**latency.model_dump(), **times}
