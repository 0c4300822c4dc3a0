"""What to measure, as plain data: a space's Ops and some whole networks, for one runtime; and their models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from math import prod
from typing import Annotated, Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import NonNegativeInt, WrapValidator, model_validator

from hwnas.arrays import Port
from hwnas.errors import ConfigError, ModelError
from hwnas.graph.graph import Graph, Op, expanded
from hwnas.graph.primitives import Norm, Primitive
from hwnas.onnx.stand_in import repeating
from hwnas.onnx.write import to_onnx
from hwnas.profiling.run import Model
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress
from hwnas.record import Record
from hwnas.records.network import INPUT
from hwnas.runtimes.base import Runtime
from hwnas.space.ref import SpaceRef
from hwnas.space.space import Space
from hwnas.tables.device import Conditions
from hwnas.tables.table import OpField
from hwnas.version import __version__

_Kept = TypeVar("_Kept")
_Choices = tuple[NonNegativeInt, ...]


def check_effort(given: Any, validate: Callable[[Any], Effort]) -> Effort:
    """For plans: all of an effort's fields are there, and it is one that can be made."""
    names = [field.name for field in fields(Effort)]
    if isinstance(given, dict) and given.keys() != set(names):
        raise ValueError(f"needs {', '.join(names)}")
    try:
        return validate(given)
    except ConfigError as problem:
        raise ValueError(str(problem)) from None


class Plan(Record):
    """A request to measure. Its entries are its ops, its networks, and twice its networks that are held out.

    Attributes:
        seed: of inputs and orders.
        networks: choices of each network to calibrate with.
        held_out: choices of each network to validate with: loaded and measured twice, which gives the retest noise.
    """

    space: SpaceRef
    conditions: Conditions
    effort: Annotated[Effort, WrapValidator(check_effort)]
    seed: NonNegativeInt
    hwnas: str
    ops: tuple[OpField, ...]
    networks: tuple[_Choices, ...]
    held_out: tuple[_Choices, ...]

    @model_validator(mode="after")
    def _each_entry_once(self) -> Plan:
        if any(len(set(part)) < len(part) for part in (self.ops, self.networks, self.held_out)):
            raise ValueError("an entry is there twice")
        return self

    @property
    def entries(self) -> tuple[Op | _Choices, ...]:
        """What is measured, in order; of a whole network its choices."""
        return (*self.ops, *self.networks, *self.held_out, *self.held_out)


def plan_space(
    space: Space,
    conditions: Conditions,
    *,
    networks: npt.ArrayLike,
    held_out: npt.ArrayLike = (),
    effort: Effort | None = None,
    seed: int = 0,
) -> Plan:
    """Every Op that a network of ``space`` may contain, and whole networks: those say how a sum of ops relates to them.

    ``networks`` are (N, L) archs to calibrate with, ``held_out`` (M, L) to validate with.

    Raises:
        ArchError: a network isn't one of the space.
    """
    return Plan(
        space=space.ref,
        conditions=conditions,
        effort=effort or Effort(),
        seed=seed,
        hwnas=__version__,
        ops=space.distinct_ops,
        networks=_distinct(space, networks),
        held_out=_distinct(space, held_out),
    )


def _distinct(space: Space, archs: npt.ArrayLike) -> tuple[tuple[int, ...], ...]:
    return tuple(dict.fromkeys(map(tuple, space.check(archs).tolist()))) if np.size(archs) else ()


def op_model(op: Op, batch: int = 1) -> Model:
    """``op`` alone as an fp32 ONNX model: latency doesn't depend on the weights' values."""
    return _model(expanded(op), batch)


def network_model(space: Space, arch: Sequence[int], batch: int = 1) -> Model:
    """``arch``'s network as an fp32 ONNX model."""
    return _model(space.graph(arch), batch)


def _model(graph: Graph, batch: int) -> Model:
    images = Port(INPUT, "float32", (batch, *graph.in_shapes[0]))
    return Model(to_onnx(graph, _stand_in_weights(graph)), (images,))


def _stand_in_weights(graph: Graph) -> dict[str, npt.NDArray[np.float32]]:
    """Keep activations finite, and repeat."""
    found: dict[str, npt.NDArray[np.float32]] = {}
    for place, op, _ in graph.expanded:
        assert isinstance(op, Primitive)
        prefix = f"{place}." if place else ""
        for name, shape in op.parameters.items():
            if name == "weight" and len(shape) > 1:
                found[prefix + name] = repeating(shape) * np.float32((2 / prod(shape[1:])) ** 0.5)
            else:
                found[prefix + name] = np.full(shape, float(name == "weight"), np.float32)
        if isinstance(op, Norm):
            found[f"{prefix}running_mean"] = np.zeros(op.shape[:1], np.float32)
            found[f"{prefix}running_var"] = np.ones(op.shape[:1], np.float32)
    return found


def models(
    plan: Plan,
    space: Space,
    runtime: Runtime,
    keep: Callable[[Model | str], _Kept],
    progress: Progress | None = None,
) -> list[_Kept]:
    """What ``keep`` makes of each entry's prepared model, or of why the runtime can't have it.

    It is called once for both measurements of a network.

    Raises:
        ModelError: the runtime can have none.
    """
    different, reasons = plan.entries[: len(plan.entries) - len(plan.held_out)], list[str]()
    kept: list[_Kept] = []
    for entry in different:
        batch = plan.conditions.batch
        plain = op_model(entry, batch) if isinstance(entry, Op) else network_model(space, entry, batch)
        model = prepared(plain, runtime, plan.conditions.precision)
        reasons += [model] if isinstance(model, str) else []
        kept.append(keep(model))
        if progress:
            progress("writing models", len(kept), len(different), "")
    if reasons and len(reasons) == len(different):
        raise ModelError(f"{runtime.name} can prepare none of {len(different)} models; the first: {reasons[0]}")
    return [*kept, *kept[len(different) - len(plan.held_out) :]]


def prepared(plain: Model, runtime: Runtime, precision: str) -> Model | str:
    """An fp32 model in the form that ``runtime`` loads, or why it can't have that."""
    try:
        return plain._replace(data=runtime.prepare(plain.data, precision))
    except ModelError as error:
        return str(error)


def reader(model: Model | str) -> Callable[[], Model]:
    """What gives a prepared model when it is to be loaded, or raises ModelError with why there is none."""

    def read() -> Model:
        if isinstance(model, str):
            raise ModelError(model)
        return model

    return read
