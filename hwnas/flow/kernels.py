"""Anyone's models: ``profile`` of them and ``predict`` for them, by the kernels that a runtime makes of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.arguments import checked
from hwnas.errors import ConfigError, TableError
from hwnas.files import refuse_existing
from hwnas.flow.model import ModelLike, names_model, open_model
from hwnas.flow.predict import Predictions
from hwnas.onnx.model import OnnxModel, Shapes, model_of
from hwnas.prediction.kernels import KernelPredictor, ModelPrediction, calibrated
from hwnas.profiling.kernels import Prepared, kernel_table_of, plan_kernels, prepare, readers
from hwnas.profiling.local import check_threads, conditions_of, device_of
from hwnas.profiling.plan import network_model
from hwnas.profiling.run import run_plan
from hwnas.profiling.timer import Effort
from hwnas.profiling.trial import not_to_be_run
from hwnas.progress import Progress
from hwnas.runtimes.registry import get_runtime
from hwnas.space.arch import Arch, parse_arch
from hwnas.tables.kernel_table import KernelTable, merged

_MOST_BYTES = 1 << 30
"""Of models that are measured at a time: each is in memory as a file, loaded, and once more in its kernels."""

KernelTableLike = KernelTable | Path | str
"""A table of kernels, or its file."""


@checked
def profile_models(
    models: Arch | ModelLike | Sequence[Arch | ModelLike],
    *,
    runtime: str = "onnxruntime",
    options: Mapping[str, str] | None = None,
    threads: int = 1,
    precision: str = "fp32",
    shapes: Shapes | None = None,
    known: KernelTableLike | Sequence[KernelTableLike] | None = None,
    confidence: float = 0.02,
    seconds: float = 60.0,
    seed: int = 0,
    output: Path | str | None = None,
    progress: Progress | None = None,
) -> KernelTable:
    """Measure the distinct kernels of some models, and the models themselves, which calibrate the kernels' sum.

    Give it the machine alone: other work is measured, too.

    Args:
        models: ONNX files, and all else that :func:`hwnas.flow.model.open_model` takes; or archs.
        runtime: what runs them, and tells what it makes of them.
        options: of the runtime.
        threads: of one inference.
        precision: of the arithmetic, as the runtime has it.
        shapes: of inputs whose sizes a file leaves open, by their names.
        known: tables of this device; what they have isn't measured again, and goes into the new one.
        confidence: know each median to ± this share (95 %).
        seconds: end after so many, known or not.
        seed: of everything random.
        output: a file to write the table to.
        progress: called while it works.

    Raises:
        ModelError: a model can't be read, or the runtime can't run it or doesn't tell its kernels.
        TableError: a known table can't be read, or is of another device.
        ConfigError, RuntimeMissingError: it can't be measured as asked.
        OutputError: the output exists already or can't be written.
    """
    path = Path(output) if output is not None else None
    if path:
        refuse_existing(path)
    for name, value, most in (("confidence", confidence, 1), ("seconds", seconds, 1e9)):
        if not 0 < value <= most:
            raise ConfigError(f"{name} must be more than 0 and at most {most:g}, got {value}")
    found = get_runtime(runtime, options)
    conditions = conditions_of(found, threads=threads, precision=precision)
    check_threads(threads)
    had = [open_kernel_table(each) for each in ([] if known is None else _several(known))]
    device = device_of(found, conditions)
    for table in had:
        if differs := table.device.difference(device):
            was, here = getattr(table.device, differs), getattr(device, differs)
            raise TableError(f"a known table is of another device: {differs} is {was} there and {here} here")
    opened = [_open(each, shapes) for each in _several(models)]
    if not opened:
        raise ConfigError("give a model or more to profile")
    prepared = prepare(opened, found, precision, progress)
    made = merged(had) if had else None
    for part in _parts(prepared):
        share_s = seconds * len(part) / len(prepared)
        effort = Effort(confidence=confidence, at_most_s=share_s, at_least_s=min(share_s, Effort.at_least_s))
        plan = plan_kernels(part, conditions, known=made, effort=effort, seed=seed)
        if not plan.kernels and not plan.models and made:
            continue
        harmful = not_to_be_run((*plan.kernels, *plan.neighbours), conditions, progress=progress)
        data = run_plan(plan.plain(), list(readers(plan, part, harmful)), found, progress=progress)
        made = kernel_table_of(plan, data, "what was measured", made)
    assert made
    table = calibrated(made)
    if path:
        table.save(path)
    return table


def _parts(models: Sequence[Prepared]) -> Iterator[Sequence[Prepared]]:
    """Models that are measured in the same rounds: as many as memory holds with their kernels."""
    part: list[Prepared] = []
    for each in models:
        if part and sum(len(one.data) for one in (*part, each)) > _MOST_BYTES:
            yield part
            part = []
        part.append(each)
    yield part


@dataclass(frozen=True, repr=False, kw_only=True)
class ModelPredictions(Predictions):
    """What a table of kernels says of N models.

    Attributes:
        models: of each also its kernels, in the order in which they were asked about.
    """

    models: tuple[ModelPrediction, ...]


@checked
def predict_models(
    table: KernelTableLike | Sequence[KernelTableLike],
    models: Arch | ModelLike | Sequence[Arch | ModelLike],
    *,
    shapes: Shapes | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> ModelPredictions:
    """Latency of models: measured kernels exactly, others by a model of their kind.

    The runtime of the table is asked what it makes of each model, so it is needed here too.

    Args:
        table: of the device, or its file; several of one device are merged.
        models: ONNX files, and all else that :func:`hwnas.flow.model.open_model` takes; or archs.
        shapes: of inputs whose sizes a file leaves open, by their names.
        strict: a kernel that nothing is known about is an error, and no lower bound.
        progress: called while models are read.

    Raises:
        TableError: a table can't be read, or they are of several devices.
        ModelError: a model can't be read.
        RuntimeMissingError: the table's runtime isn't installed here.
        MissingOpError: nothing is known of a kernel, and it is ``strict``.
    """
    tables = [open_kernel_table(each) for each in _several(table)]
    whole = tables[0] if len(tables) == 1 else calibrated(merged(tables))
    conditions = whole.device.conditions
    runtime = get_runtime(conditions.runtime, conditions.options)
    opened = [_open(each, shapes) for each in _several(models)]
    if not opened:
        raise ConfigError("give a model or more to predict")
    predictor = KernelPredictor(whole)
    found = tuple(
        predictor(each.model.name, each.launches, each.model.sha256, strict=strict)
        for each in prepare(opened, runtime, conditions.precision, progress)
    )
    ends_ms = np.array([each.interval_ms or (np.nan, np.nan) for each in found])
    return ModelPredictions(
        device=whole.device,
        quantile="p50",
        latency_ms=np.array([each.latency_ms for each in found]),
        interval_ms=(ends_ms[:, 0], ends_ms[:, 1]) if whole.calibration else None,
        models=found,
    )


def per_layer(table: KernelTable, model: Arch | ModelLike, shapes: Shapes | None = None) -> ModelPrediction:
    """What each launch of a model adds; of one that the table has measured, without its runtime.

    Args:
        table: of the device.
        model: as :func:`predict_models` takes it, or the name of one of the table's own models.
        shapes: of inputs whose sizes a file leaves open, by their names.

    Raises:
        ModelError, RuntimeMissingError: as :func:`predict_models`.
    """
    kernels = {entry.kernel.key: entry.kernel for entry in table.kernels}
    kernels |= {entry.kernel.key: entry.kernel for entry in table.failed}
    for known in table.models:
        if str(model) == known.name and not Path(known.name).exists():
            return KernelPredictor(table)(known.name, known.launched(kernels), known.sha256)
    return predict_models(table, model, shapes=shapes).models[0]


def _several(given: Any) -> list[Any]:
    """A list as it is, and of anything else a list of that; a module with its inputs is a tuple, and one thing."""
    return [*given] if isinstance(given, Sequence) and not isinstance(given, str | tuple) else [given]


def _open(given: Arch | ModelLike, shapes: Shapes | None) -> OnnxModel:
    """A model, or the network of an arch with weights to stand in for its own.

    Raises:
        ModelError: it can't be read.
        ArchError: what stands there names neither.
    """
    if isinstance(given, Arch):
        arch = given
    elif isinstance(given, str | Path) and not names_model(given):
        arch = parse_arch(str(given))
    else:
        return open_model(given, shapes)
    network = network_model(arch.space, arch.choices)
    return model_of(network.data, str(arch), {port.name: port.shape for port in network.inputs})


def open_kernel_table(table: KernelTableLike) -> KernelTable:
    """A table, by its file.

    Raises:
        TableError: it can't be read.
    """
    return KernelTable.read(table) if isinstance(table, str | Path) else table
