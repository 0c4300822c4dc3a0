"""What to measure, as plain data: a space's Ops and some whole networks, for one runtime; and their models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from math import prod
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import Field, WrapValidator, model_validator

from hwnas.errors import ConfigError, ModelError
from hwnas.graph.graph import Graph, Op, expanded
from hwnas.graph.primitives import Norm, Primitive
from hwnas.onnx.write import to_onnx
from hwnas.profiling.run import Model
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress
from hwnas.record import Record
from hwnas.runtimes.base import Runtime
from hwnas.space.ref import SpaceRef
from hwnas.space.space import Space
from hwnas.tables.device import Conditions
from hwnas.tables.ops import OpField
from hwnas.version import __version__

_Kept = TypeVar("_Kept")
_Choices = tuple[Annotated[int, Field(ge=0)], ...]


class Whole(NamedTuple):
    """A whole network as an entry: one to calibrate with, or one of the two measurements of one that is held out."""

    choices: tuple[int, ...]
    held_out: Literal["no", "first", "again"] = "no"

    def __str__(self) -> str:
        return f"network {','.join(map(str, self.choices))}"


Entry = Op | Whole


def _effort(given: Any, validate: Callable[[Any], Effort]) -> Effort:
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
        space: whose ops and networks.
        conditions: what runs them, and how.
        effort: how long to measure.
        seed: of inputs and orders.
        hwnas: version that planned.
        ops: each once.
        networks: choices of each network to calibrate with.
        held_out: choices of each network to validate with: loaded and measured twice, which gives the retest noise.
    """

    space: SpaceRef
    conditions: Conditions
    effort: Annotated[Effort, WrapValidator(_effort)]
    seed: Annotated[int, Field(ge=0)]
    hwnas: str
    ops: tuple[OpField, ...]
    networks: tuple[_Choices, ...]
    held_out: tuple[_Choices, ...]

    @model_validator(mode="after")
    def _each_entry_once(self) -> Plan:
        if len(set(self.entries())) != len(self.entries()):
            raise ValueError("an entry is there twice")
        return self

    def entries(self) -> tuple[Entry, ...]:
        """What is measured, in order."""
        return (
            *self.ops,
            *(Whole(choices) for choices in self.networks),
            *(Whole(choices, "first") for choices in self.held_out),
            *(Whole(choices, "again") for choices in self.held_out),
        )


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

    Args:
        space: whose.
        conditions: see :func:`hwnas.profiling.measure.conditions_of`.
        networks: (N, L) to calibrate with.
        held_out: (M, L) to validate with.
        effort: how long to measure.
        seed: of inputs and orders.

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


def op_model(op: Op) -> Model:
    """``op`` alone as an fp32 ONNX model: latency doesn't depend on the weights' values."""
    return _model(expanded(op))


def network_model(space: Space, arch: Sequence[int]) -> Model:
    """``arch``'s network as an fp32 ONNX model."""
    return _model(space.graph(arch))


def _model(graph: Graph) -> Model:
    return Model(to_onnx(graph, stand_in_weights(graph)), graph.in_shapes[0])


def stand_in_weights(graph: Graph) -> dict[str, npt.NDArray[np.float32]]:
    """Weights that keep activations finite, for measuring.

    They repeat after 16 KiB, so that a kit of hundreds of megabytes packs into a few.
    """
    pattern = np.random.default_rng(0).standard_normal(4096, dtype=np.float32)
    found: dict[str, npt.NDArray[np.float32]] = {}
    for place, op, _ in graph.expanded:
        assert isinstance(op, Primitive)
        prefix = f"{place}." if place else ""
        for name, shape in op.parameters.items():
            if name == "weight" and len(shape) > 1:
                size, inputs = prod(shape), prod(shape[1:])
                found[prefix + name] = np.resize(pattern, size).reshape(shape) * np.float32((2 / inputs) ** 0.5)
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
    entries, reasons = plan.entries(), list[str]()
    kept: dict[Entry, _Kept] = {}
    for index, entry in enumerate(entries):
        if isinstance(entry, Whole) and entry.held_out == "again":
            kept[entry] = kept[Whole(entry.choices, "first")]
        else:
            plain = op_model(entry) if isinstance(entry, Op) else network_model(space, entry.choices)
            model = prepared(plain, runtime, plan.conditions.precision)
            reasons += [model] if isinstance(model, str) else []
            kept[entry] = keep(model)
        if progress:
            progress("writing models", index + 1, len(entries), "")
    if reasons and len(reasons) == len(entries) - len(plan.held_out):
        raise ModelError(f"{runtime.name} can prepare none of {len(entries)} models; the first: {reasons[0]}")
    return [kept[entry] for entry in entries]


def prepared(plain: Model, runtime: Runtime, precision: str) -> Model | str:
    """An fp32 model in the form that ``runtime`` loads, or why it can't have that."""
    try:
        return Model(runtime.prepare(plain.data, precision), plain.input_chw)
    except ModelError as error:
        return str(error)


def reader(model: Model | str) -> Callable[[], Model]:
    """What gives a prepared model when it is to be loaded, or raises ModelError with why there is none."""

    def read() -> Model:
        if isinstance(model, str):
            raise ModelError(model)
        return model

    return read
