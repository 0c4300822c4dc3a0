"""`KernelPredictor`: latency of anyone's model, from the kernels that a runtime makes of it and a `KernelTable`.

A kernel of the table is taken as it was measured. Another is answered by a model of its kind, fitted on the table's
entries (:mod:`hwnas.prediction.regression`): what it costs is what it computes and what it moves. The sum is calibrated
on the whole models that were measured beside the kernels (:mod:`hwnas.prediction.kernel_calibration`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log2, prod
from typing import Literal

import numpy as np

from hwnas.arrays import Values
from hwnas.brief import Brief
from hwnas.errors import MissingOpError
from hwnas.graph.kernel import ABSENT, Kernel, Launch
from hwnas.graph.kernel_cost import madds_or_zero, main_node
from hwnas.prediction.kernel_calibration import in_model_ms
from hwnas.prediction.regression import MINIMUM_ENTRIES, LatencyRegression
from hwnas.tables.kernel_table import KernelTable, MeasuredKernel
from hwnas.tables.table import Latency

_MOST_ENTRIES = 2000  # that one model is fitted on: what a fit takes grows with their cube

Source = Literal["measured", "guessed", "unknown"]
"""Of a kernel's latency: the table's entry; a model of its kind; nothing, and then it is counted as no time."""


@dataclass(frozen=True)
class Priced:
    """What a launch adds to its network.

    Attributes:
        name: of the model's own node, or nodes.
        kernel: None where it can't be cut out alone.
        latency_ms: calibrated; 0 where it is unknown.
        source: who answered.
        error_90: half-width of its 90 % interval, relative; 0 of a measured one.
        why_unknown: in words.
    """

    name: str
    kernel: Kernel | None
    latency_ms: float
    source: Source
    error_90: float = 0.0
    why_unknown: str = ""


@dataclass(frozen=True, repr=False)
class ModelPrediction(Brief):
    """What a table says of a model.

    Attributes:
        name: the model's.
        latency_ms: of the whole, its median run.
        interval_ms: low and high end of the interval that should hold 90 % of models; None where the table isn't
            calibrated, or something is unknown.
        fixed_ms: of it what no launch adds.
        launches: in the order in which they run.
        measured: the model itself was measured when the table was made, and that is the latency.
    """

    name: str
    latency_ms: float
    interval_ms: tuple[float, float] | None
    fixed_ms: float
    launches: tuple[Priced, ...]
    measured: bool = False

    @property
    def guessed(self) -> tuple[Priced, ...]:
        """Launches that a model of their kind answered."""
        return tuple(each for each in self.launches if each.source == "guessed")

    @property
    def unknown(self) -> tuple[Priced, ...]:
        """Launches of which nothing is known: with any, the latency is a lower bound."""
        return tuple(each for each in self.launches if each.source == "unknown")


class KernelPredictor:
    """See the module's docstring."""

    def __init__(self, table: KernelTable) -> None:
        self.table = table
        self._models: dict[tuple[str, ...], _KindModel | None] = {}
        self._measured = {model.sha256: model for model in table.models}

    def __call__(
        self, name: str, launches: Sequence[Launch], sha256: str = "", *, strict: bool = False
    ) -> ModelPrediction:
        """Latency of a model.

        Args:
            name: the model's.
            launches: what the runtime makes of it.
            sha256: of the model, by which it is known whether it was measured itself.
            strict: a kernel that nothing is known about is an error.

        Raises:
            MissingOpError: that.
        """
        calibration = self.table.calibration
        priced = tuple(self._price(each) for each in launches)
        unknown = [each for each in priced if each.source == "unknown"]
        if unknown and strict:
            raise MissingOpError(f"{name}: nothing is known of {unknown[0].name}: {unknown[0].why_unknown}")
        fixed_ms = calibration.fixed_ms if calibration else 0.0
        latency_ms = fixed_ms + sum(each.latency_ms for each in priced)
        if model := self._measured.get(sha256):
            return ModelPrediction(name, model.p50_ms, _around(model), fixed_ms, priced, measured=True)
        interval_ms = None
        if calibration and not unknown:
            guessed_ms = sum(each.latency_ms * each.error_90 for each in priced)
            half_ms = float(np.hypot(calibration.error_90 * latency_ms, guessed_ms))
            interval_ms = max(latency_ms - half_ms, 0.0), latency_ms + half_ms
        return ModelPrediction(name, latency_ms, interval_ms, fixed_ms, priced)

    def _price(self, launch: Launch) -> Priced:
        kernel = launch.kernel
        if kernel is None:
            return Priced(launch.name, None, 0.0, "unknown", why_unknown=f"it can't be timed alone: {launch.uncut}")
        if entry := self.table.by_key.get(kernel.key):
            return Priced(launch.name, kernel, self._in_model_ms(kernel, entry.p50_ms), "measured")
        model = self._model(kind_of(kernel))
        if model is None:
            failed = self.table.why_failed.get(kernel.key)
            why = f"the runtime can't run it alone: {failed}" if failed else "the table has too few of its kind"
            return Priced(launch.name, kernel, 0.0, "unknown", why_unknown=f"{kernel.kind}; {why}")
        alone_ms, error_90 = model.predict(kernel)
        return Priced(launch.name, kernel, self._in_model_ms(kernel, alone_ms), "guessed", error_90)

    def _in_model_ms(self, kernel: Kernel, alone_ms: float) -> float:
        calibration = self.table.calibration
        return in_model_ms(calibration, kernel, alone_ms) if calibration else alone_ms

    def _model(self, kind: tuple[str, ...]) -> _KindModel | None:
        if kind not in self._models:
            entries = [each for each in self.table.kernels if kind_of(each.kernel) == kind]
            self._models[kind] = _KindModel(entries) if len(entries) >= MINIMUM_ENTRIES else None
        return self._models[kind]


def _around(measured: Latency) -> tuple[float, float]:
    """The 95 % interval of a measured median."""
    half_ms = measured.p50_ms * (measured.confidence_95 or 0.0)
    return max(measured.p50_ms - half_ms, 0.0), measured.p50_ms + half_ms


def kind_of(kernel: Kernel) -> tuple[str, ...]:
    """What kernels of one model share: the type of the first input, and the operator that does most of the work.

    What is fused beside that adds little, so a convolution with a ReLU tells of one with an Add.
    """
    first = kernel.inputs[0] if kernel.inputs else kernel.outputs[0]
    main = main_node(kernel)
    return kernel.values[first].dtype, f"{main.domain}:{main.op}"


class _KindModel:
    """A regression of the kernels of one kind, on costs and sizes."""

    def __init__(self, entries: Iterable[MeasuredKernel]) -> None:
        known = sorted(entries, key=lambda each: each.p50_ms)
        if len(known) > _MOST_ENTRIES:  # evenly over fast and slow ones
            known = [known[int(at)] for at in np.linspace(0, len(known) - 1, _MOST_ENTRIES)]
        kernels = [each.kernel for each in known]
        self._names = sorted({name for kernel in kernels for name in sizes_of(kernel)})
        self._regression = LatencyRegression.fit(*self._arrays(kernels), np.array([each.p50_ms for each in known]))

    def predict(self, kernel: Kernel) -> tuple[float, float]:
        """Latency alone in ms, and the relative half-width of its 90 % interval."""
        latency_ms, error_90 = self._regression.predict(*self._arrays([kernel]))
        return float(latency_ms[0]), float(error_90[0])

    def _arrays(self, kernels: Sequence[Kernel]) -> tuple[Values, Values]:
        sizes = [sizes_of(kernel) for kernel in kernels]
        return (
            np.array([costs_of(kernel) for kernel in kernels], float),
            np.array([[each.get(name, 0.0) for name in self._names] for each in sizes], float),
        )


def costs_of(kernel: Kernel) -> tuple[float, ...]:
    """What latency is proportional to: a call, multiply-adds, bytes of inputs, of weights and of outputs."""
    constants = [value for value in kernel.values if value.constant]
    moved = (sum(kernel.values[index].bytes for index in part) for part in (kernel.inputs, kernel.outputs))
    return 1, madds_or_zero(kernel), *moved, sum(value.bytes for value in constants)


def sizes_of(kernel: Kernel) -> dict[str, float]:
    """What makes two kernels of a kind differ, by name: log2 of the main node's sizes; how often what is beside it."""
    main = main_node(kernel)
    found: dict[str, float] = {}
    for part, indices in (("input", main.inputs), ("output", main.outputs)):
        for place, index in enumerate(indices):
            if index != ABSENT and (not kernel.values[index].constant or kernel.values[index].elements > 1):
                shape = reversed(kernel.values[index].shape)
                found |= {f"{part} {place}.{axis}": log2(1 + size) for axis, size in enumerate(shape)}
    for name, given in main.attributes:
        numbers = given if isinstance(given, tuple) else (given,)
        if all(isinstance(each, int) for each in numbers):
            found[name] = log2(1 + abs(prod(numbers)))  # type: ignore[arg-type]
    return found | Counter(f"+{node.domain}:{node.op}" for node in kernel.own if node is not main)
