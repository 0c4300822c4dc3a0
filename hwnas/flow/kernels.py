"""Anyone's models: ``profile`` of them and ``predict`` for them, by the kernels that a runtime makes of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from hwnas.arguments import checked
from hwnas.errors import ConfigError
from hwnas.files import refuse_existing
from hwnas.flow.carry_out import SEVERAL, profile_at
from hwnas.flow.jobs import ModelsJob
from hwnas.flow.model import ModelLike, names_model, open_model
from hwnas.flow.open import KernelTableLike, open_kernel_table, open_known
from hwnas.flow.predict import Predictions
from hwnas.onnx.model import OnnxModel, Shapes, model_of
from hwnas.prediction.design import calibration_networks
from hwnas.prediction.kernel_calibration import calibrated
from hwnas.prediction.kernels import KernelPredictor, ModelPrediction
from hwnas.prediction.through_kernels import covering
from hwnas.profiling.kernels import prepare
from hwnas.profiling.local import conditions_of
from hwnas.profiling.plan import network_model
from hwnas.profiling.transports import Remote
from hwnas.progress import Progress, Tell, silent
from hwnas.runtimes.registry import get_runtime
from hwnas.space.arch import Arch, parse_arch
from hwnas.space.registry import SPACES, get_space
from hwnas.space.space import Space
from hwnas.tables.kernel_table import KernelTable, merged

_CALIBRATING = 20  # networks of a space


@checked
def profile_models(
    models: Space | Arch | ModelLike | Sequence[Space | Arch | ModelLike],
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
    on: Annotated[Remote | str | None, SEVERAL] = None,
    output: Path | str | None = None,
    progress: Progress | None = None,
    tell: Tell = silent,
) -> KernelTable:
    """Measure the distinct kernels of some models, and the models themselves, which calibrate the kernels' sum.

    Give it the machine alone: other work is measured, too.

    Args:
        models: ONNX files, and all else that :func:`hwnas.flow.model.open_model` takes; archs; and spaces, each for
            some networks in which all of its ops are.
        runtime: what runs them, and tells what it makes of them.
        options: of the runtime.
        threads: of one inference.
        precision: of the arithmetic, as the runtime has it.
        shapes: of inputs whose sizes a file leaves open, by their names.
        known: tables of the device; what they have isn't measured again, and goes into the new one.
        confidence: know each median to ± this share (95 %).
        seconds: end after so many, known or not.
        seed: of everything random.
        on: another machine, ``ssh://[user@]host[:port]`` or ``adb://SERIAL``; this one if not given.
        output: a file to write the table to.
        progress: called while it works.
        tell: is told what another machine says.

    Raises:
        ModelError: a model can't be read, or the runtime can't run it or doesn't tell its kernels.
        TableError: a known table can't be read, or is of another device.
        ConfigError, RuntimeMissingError: it can't be measured as asked.
        OutputError: the output exists already or can't be written.
        DeviceError: the machine gave up, or the connection to it dropped; the same call goes on there.
    """
    path = Path(output) if output is not None else None
    if path:
        refuse_existing(path)
    job = models_job(
        models, runtime=runtime, options=options, threads=threads, precision=precision, shapes=shapes, known=known,
        confidence=confidence, seconds=seconds, seed=seed,
    )  # fmt: skip
    return profile_at(job, on, path, progress=progress, tell=tell)


@checked
def models_job(
    models: Space | Arch | ModelLike | Sequence[Space | Arch | ModelLike],
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
) -> ModelsJob:
    """What :func:`profile_models` measures, for :mod:`hwnas.flow.carry_out` and for kits; given in the same words.

    Raises:
        ModelError: a model can't be read.
        TableError: a known table can't be read, or they are of several devices.
        ConfigError, RuntimeMissingError: it can't be measured as asked.
    """
    for name, value, most in (("confidence", confidence, 1), ("seconds", seconds, 1e9)):
        if not 0 < value <= most:
            raise ConfigError(f"{name} must be more than 0 and at most {most:g}, got {value}")
    conditions = conditions_of(get_runtime(runtime, options), threads=threads, precision=precision)
    had = open_known(known)
    opened = tuple(model for each in _several(models) for model in _opened(each, shapes, seed))
    if not opened:
        raise ConfigError("give a model or more to profile")
    return ModelsJob(opened, conditions, confidence, seconds, seed, had)


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


def _opened(given: Space | Arch | ModelLike, shapes: Shapes | None, seed: int) -> Iterator[OnnxModel]:
    """A model; of a space networks in which all ops are that its archs need, and those that pin a calibration down."""
    if isinstance(given, str | Path) and (str(given).endswith((".yaml", ".yml")) or str(given) in SPACES.names()):
        given = get_space(str(given))
    if not isinstance(given, Space):
        yield _open(given, shapes)
        return
    whole = given.inheriting()
    archs = [*covering(whole), *calibration_networks(given, _CALIBRATING, seed)]
    for choices in dict.fromkeys(tuple(arch.tolist()) for arch in archs):
        network = network_model(whole, choices)
        name = f"{given.source}:{','.join(map(str, choices))}"
        yield model_of(network.data, name, {port.name: port.shape for port in network.inputs})


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
