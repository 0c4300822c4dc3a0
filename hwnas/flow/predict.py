"""``predict``: what a table says of networks, before they exist or wherever they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from hwnas.arguments import checked
from hwnas.arrays import Archs, Values
from hwnas.brief import Brief
from hwnas.errors import ArchError, SpaceError, TableError
from hwnas.flow.model import ModelLike, names_model
from hwnas.flow.open import of_file, open_table
from hwnas.graph.graph import Op
from hwnas.onnx.model import Shapes
from hwnas.prediction.costs import model_mb, peak_activation_mb
from hwnas.prediction.latency import LatencyPredictor
from hwnas.prediction.merge import merge
from hwnas.progress import Progress
from hwnas.records.bench import PredictedMs
from hwnas.space.arch import Arch, parse_arch
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.space.space import Space
from hwnas.tables.device import Device
from hwnas.tables.kernel_table import KernelTable, is_kernel_table
from hwnas.tables.table import LatencyTable, Quantile

Asked = Arch | str | Path | npt.NDArray[np.integer]
"""An arch, or what a person types for one (see :func:`hwnas.space.arch.parse_arch`), or choices (L,) or (N, L)."""


@dataclass(frozen=True, repr=False, kw_only=True)
class Predictions(Brief):
    """What a table says of N networks.

    Attributes:
        device: that it is about.
        quantile: of a network's runs: their median, or what nine of ten stay within.
        latency_ms: (N,).
        interval_ms: low and high ends, (N,) each, of the interval that should hold 90 % of networks, NaN for one with
            kernels that nothing is known about; None where the table isn't calibrated.
    """

    device: Device
    quantile: Quantile
    latency_ms: Values
    interval_ms: tuple[Values, Values] | None


@dataclass(frozen=True, repr=False, kw_only=True)
class ArchPredictions(Predictions):
    """What a table of a space's ops says of N archs.

    Attributes:
        space: whose.
        choices: of the archs, (N, L).
        model_mb: weights, (N,).
        peak_activation_mb: most activations at one time, (N,).
        interpolated: of each arch those ops that aren't in the table and were interpolated.
    """

    space: ChainSpace
    choices: Archs
    model_mb: Values
    peak_activation_mb: Values
    interpolated: tuple[tuple[Op, ...], ...]

    @property
    def archs(self) -> tuple[Arch, ...]:
        """Those that were asked about."""
        return tuple(Arch(self.space, tuple(choices)) for choices in self.choices.tolist())


Table = LatencyTable | KernelTable | Path | str


@checked
def predict(
    table: Table | Sequence[Table],
    models: Asked | ModelLike | Sequence[Asked | ModelLike | Sequence[int] | int],
    *,
    resolution: int | None = None,
    quantile: Quantile = "p50",
    shapes: Shapes | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> Predictions:
    """Latency of networks: of archs by a table of their space, of anyone's models (and of archs) by one of kernels.

    Args:
        table: of the device, or its file; several, as of other resolutions, are merged.
        models: one or several. Archs without a space of their own are of the first table's; a table of kernels takes
            ONNX files and all else that :func:`hwnas.flow.model.open_model` takes.
        resolution: of archs' input in pixels; the table's, unless given.
        quantile: of a space's table, see :class:`hwnas.prediction.latency.LatencyPredictor`.
        shapes: of models' inputs whose sizes a file leaves open, by their names.
        strict: a kernel that nothing is known about is an error, and no lower bound.
        progress: called while models are read.

    Returns:
        `ArchPredictions`, or `hwnas.flow.kernels.ModelPredictions`.

    Raises:
        TableError: a table can't be read, or the first covers no space.
        ArchError: an arch isn't one, or they are of different spaces.
        ModelError: a model can't be read.
        MissingOpError: nothing can be said of an op that isn't in the table; of a kernel, where it is ``strict``.
        RuntimeMissingError: the runtime of a table of kernels isn't installed here.
    """
    tables: Any = [table] if isinstance(table, LatencyTable | KernelTable | Path | str) else table
    asked: Any = models  # whoever is asked says what of it isn't theirs
    if any(isinstance(each, KernelTable) or is_kernel_table(each) for each in tables):
        from hwnas.flow.kernels import predict_models

        return predict_models(tables, asked, shapes=shapes, strict=strict, progress=progress)
    return predict_archs(tables, asked, resolution=resolution, quantile=quantile)


@checked
def predict_archs(
    table: LatencyTable | Path | str | Sequence[LatencyTable | Path | str],
    archs: Asked | Sequence[Asked | Sequence[int] | int],
    *,
    resolution: int | None = None,
    quantile: Quantile = "p50",
) -> ArchPredictions:
    """Latency of archs of one space; raises as :func:`predict`."""
    given = [table] if isinstance(table, LatencyTable | Path | str) else table
    one = isinstance(archs, Arch | str | Path | np.ndarray) or (len(archs) and isinstance(archs[0], Integral))
    asked = cast("Sequence[Asked | Sequence[int]]", [archs] if one else archs)
    if not len(given) or not len(asked):
        raise ArchError(f"a prediction takes a table and an arch or more, got {len(given)} tables, {len(asked)} archs")
    tables = [open_table(one) for one in given]
    name = ", ".join("the table" if isinstance(one, LatencyTable) else str(one) for one in given)
    with of_file(name):
        merged, own = merge(tables), tables[0].get_space()
    found = [_choices(each, tables[0], own, resolution, name) for each in asked]
    space = found[0][0]
    if any(other.fingerprint != space.fingerprint for other, _ in found):
        raise ArchError("the archs are of different spaces; predict those of one space at a time")
    choices = np.concatenate([rows for _, rows in found])
    with of_file(name):
        predictor = LatencyPredictor(merged, space, quantile=quantile)
    precision = merged.device.precision
    return ArchPredictions(
        space=space,
        choices=choices,
        device=merged.device,
        quantile=quantile,
        latency_ms=predictor(choices),
        interval_ms=predictor.interval(choices),
        model_mb=model_mb(space, precision=precision)(choices),
        peak_activation_mb=peak_activation_mb(space, precision=precision)(choices),
        interpolated=tuple(predictor.interpolated_of(arch) for arch in choices),
    )


def _choices(
    asked: Asked | Sequence[int], table: LatencyTable, own: ChainSpace, resolution: int | None, name: str
) -> tuple[ChainSpace, Archs]:
    """The space of what was asked about, and its choices (N, L); ``name`` is the table's, for messages."""
    if isinstance(asked, str | Path):
        if names_model(asked):
            made_by = f"hwnas profile {asked} -o TABLE makes one of kernels, which prices any model"
            raise TableError(f"{name} is a table of the ops of {own.source} and can't price {asked}; {made_by}")
        at = partial(parse_arch, str(asked), classes=own.classes, known=table.space)
        try:
            asked = at(resolution=resolution or own.resolution)
        except SpaceError as error:
            if resolution is None:
                at(resolution=None)  # raises the same where the table's resolution isn't the reason
                size = f"{name} is of {own.source} at {own.resolution} px"
                raise SpaceError(f"{error}; {size}, give a --resolution") from None
            raise
    if isinstance(asked, Arch):
        return asked.space, asked.space.check(asked.choices)
    space = get_space(own.ref, resolution)
    return space, space.check(asked)


def predicted_interval_ms(table: LatencyTable, space: Space, choices: Sequence[int]) -> PredictedMs:
    """Latency of one arch, and the low and the high end of its interval, where the table is calibrated.

    Raises:
        MissingOpError: the table isn't of the space.
    """
    predictor = LatencyPredictor(table, space)
    low_high = predictor.interval(choices)
    low_ms, high_ms = (float(end[0]) for end in low_high) if low_high else (None, None)
    return float(predictor(choices)[0]), low_ms, high_ms
