"""What to measure so that anyone's models can be priced: their distinct kernels, and they themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import NonNegativeInt, WrapValidator

from hwnas.errors import KitError, ModelError
from hwnas.graph.kernel import Kernel, Launch
from hwnas.onnx.kernels import kernel_model
from hwnas.onnx.model import OnnxModel
from hwnas.profiling.plan import check_effort
from hwnas.profiling.result import Failure, Result, device_of_result, protocol_of
from hwnas.profiling.run import Model
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress
from hwnas.record import Record, Sha256, ShortText
from hwnas.runtimes.base import Runtime, TellsKernels
from hwnas.tables.device import Conditions
from hwnas.tables.kernel_table import FailedKernel, KernelTable, Launched, MeasuredKernel, MeasuredModel
from hwnas.tables.table import Latency
from hwnas.version import __version__


class PlannedModel(Record):
    """A whole model to time, see :class:`hwnas.tables.kernel_table.MeasuredModel`."""

    name: ShortText
    sha256: Sha256
    launches: tuple[Launched, ...]


class KernelPlan(Record):
    """A request to measure. Its entries are its kernels, then its models.

    Attributes:
        seed: of orders.
        kernels: those of the models that nobody has measured yet.
    """

    conditions: Conditions
    effort: Annotated[Effort, WrapValidator(check_effort)]
    seed: NonNegativeInt
    hwnas: str
    kernels: tuple[Kernel, ...]
    models: tuple[PlannedModel, ...]

    @property
    def entries(self) -> tuple[Kernel | PlannedModel, ...]:
        """What is measured, in order."""
        return (*self.kernels, *self.models)


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
    if not isinstance(runtime, TellsKernels):
        raise ModelError(f"runtime {runtime.name} doesn't tell what it makes of a model; use onnxruntime")
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
    known: KernelTable | None = None,
    effort: Effort | None = None,
    seed: int = 0,
) -> KernelPlan:
    """Every distinct kernel of the models that isn't in the table ``known``, and the models that aren't."""
    had = {*known.by_key, *known.why_failed} if known else set()
    models_had = {model.sha256 for model in known.models} if known else set()
    needed = {launch.kernel.key: launch.kernel for each in models for launch in each.launches if launch.kernel}
    distinct = {each.model.sha256: each for each in models if each.model.sha256 not in models_had}
    return KernelPlan(
        conditions=conditions,
        effort=effort or Effort(),
        seed=seed,
        hwnas=__version__,
        kernels=tuple(kernel for key, kernel in needed.items() if key not in had),
        models=tuple(
            PlannedModel(name=each.model.name[-200:], sha256=sha256, launches=tuple(map(launched, each.launches)))
            for sha256, each in distinct.items()
        ),
    )


def launched(launch: Launch) -> Launched:
    """A launch as files have it."""
    return Launched(name=launch.name, kernel=launch.kernel.key if launch.kernel else None, uncut=launch.uncut)


def readers(plan: KernelPlan, models: Sequence[Prepared]) -> Iterator[Callable[[], Model]]:
    """What gives each entry's model when it is to be loaded."""
    by_sha256 = {each.model.sha256: each for each in models}
    for kernel in plan.kernels:
        yield partial(_alone, kernel)
    for planned in plan.models:
        whole = by_sha256[planned.sha256]
        yield partial(Model, whole.data, whole.model.inputs)


def _alone(kernel: Kernel) -> Model:
    return Model(*kernel_model(kernel), as_is=True)


def kernel_table_of(plan: KernelPlan, data: Any, where: Path | str) -> KernelTable:
    """The table that a result of ``plan`` makes, not calibrated; models that the runtime can't run aren't in it.

    Raises:
        KitError: a field is missing, unknown or out of range, the number of entries isn't the plan's, or the runtime
            isn't.
    """
    result = Result.of_plain(data, where)
    entries, found = plan.entries, result.entries
    if len(found) != len(entries):
        raise KitError(f"{where} has {len(found)} entries, its plan has {len(entries)}; measure again")
    kernels, failed, models = [], [], []
    for entry, value in zip(entries, found, strict=True):
        if isinstance(entry, PlannedModel):
            if isinstance(value, Latency):
                models.append(MeasuredModel(**dict(entry), **value.model_dump()))
        elif isinstance(value, Failure):
            failed.append(FailedKernel(kernel=entry, reason=value.failed))
        else:
            kernels.append(MeasuredKernel(kernel=entry, **value.model_dump()))
    reference = entries[min(result.reference, len(entries) - 1)]
    named = f"model {reference.name}" if isinstance(reference, PlannedModel) else str(reference)
    return KernelTable(
        device=device_of_result(result, plan.conditions, where),
        measured=(protocol_of(result, plan.effort, plan.seed, plan.hwnas, named),),
        kernels=tuple(kernels),
        failed=tuple(failed),
        models=tuple(models),
    )
