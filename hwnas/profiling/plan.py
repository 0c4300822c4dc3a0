"""What to measure, as plain data: a space's Ops and some whole networks, for one runtime; and their models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator

from hwnas.errors import ConfigError, KitError, ModelError, SpaceError
from hwnas.graph.graph import Graph, Op, expanded
from hwnas.graph.primitives import Norm, Primitive
from hwnas.onnx.write import to_onnx
from hwnas.profiling.run import Model
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress
from hwnas.runtimes.base import Runtime
from hwnas.space.ref import SpaceRef
from hwnas.space.space import Space
from hwnas.version import __version__

_Count = Annotated[int, Field(gt=0, strict=True)]
_Choices = tuple[Annotated[int, Field(ge=0, strict=True)], ...]


class Whole(NamedTuple):
    """A whole network as an entry: one to calibrate with, or one of the two measurements of one that is held out."""

    choices: tuple[int, ...]
    held_out: Literal["no", "first", "again"] = "no"

    def __str__(self) -> str:
        return f"network {','.join(map(str, self.choices))}"


Entry = Op | Whole


class Plan(BaseModel):
    """A request to measure. Its entries are its ops, its networks, and twice its networks that are held out.

    Attributes:
        space: whose ops and networks.
        runtime, options: what runs them.
        precision, threads, batch: how.
        effort: see :class:`hwnas.profiling.timer.Effort`.
        seed: of inputs and orders.
        hwnas: version that planned.
        ops: each Op as plain values.
        networks: choices of each network to calibrate with.
        held_out: choices of each network to validate with: loaded and measured twice, which gives the retest noise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Annotated[Literal["hwnas-plan/1"], Field(alias="schema")] = "hwnas-plan/1"
    space: SpaceRef
    runtime: str
    options: Mapping[str, str]
    precision: str
    threads: _Count
    batch: _Count
    effort: Mapping[str, Annotated[int | float, Field(ge=0, le=1e9)]]
    seed: Annotated[int, Field(ge=0)]
    hwnas: str
    ops: tuple[dict[str, Any], ...]
    networks: tuple[_Choices, ...]
    held_out: tuple[_Choices, ...]

    @field_validator("effort")
    @classmethod
    def _whole_effort(cls, effort: Mapping[str, int | float]) -> Mapping[str, int | float]:
        if effort.keys() != set(Effort._fields):
            raise ValueError(f"needs {', '.join(Effort._fields)}")
        return effort

    def entries(self) -> tuple[Entry, ...]:
        """What is measured, in order.

        Raises:
            KitError: an entry isn't an Op, or is there twice.
        """
        try:
            found: list[Entry] = [Op.from_dict(op) for op in self.ops]
        except SpaceError as error:
            raise KitError(f"the plan of the kit is damaged: {error}") from None
        found += [Whole(choices) for choices in self.networks]
        found += [Whole(choices, "first") for choices in self.held_out]
        found += [Whole(choices, "again") for choices in self.held_out]
        if len(set(found)) != len(found):
            raise KitError("the plan of the kit is damaged: an entry is there twice")
        return tuple(found)

    def plain(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        return self.model_dump(mode="json", by_alias=True)


def plan_space(
    space: Space,
    runtime: Runtime,
    *,
    networks: npt.ArrayLike,
    held_out: npt.ArrayLike = (),
    threads: int = 1,
    precision: str = "fp32",
    batch: int = 1,
    seed: int = 0,
    effort: Effort | None = None,
) -> Plan:
    """Every Op that a network of ``space`` may contain, and whole networks: those say how a sum of ops relates to them.

    Raises:
        ConfigError: fewer than one thread or image, or a precision the runtime hasn't.
        ArchError: a network isn't one of the space.
    """
    if precision not in runtime.precisions:
        raise ConfigError(f"{runtime.name} runs {', '.join(runtime.precisions)}, not {precision!r}")
    for name, value in (("threads", threads), ("batch", batch)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}")
    return Plan(
        space=space.ref,
        runtime=runtime.name,
        options=dict(runtime.options),
        precision=precision,
        threads=threads,
        batch=batch,
        effort=(effort or Effort())._asdict(),
        seed=seed,
        hwnas=__version__,
        ops=tuple(op.to_dict() for op in space.distinct_ops),
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
    space: Space,
    entries: Sequence[Entry],
    runtime: Runtime,
    precision: str,
    progress: Progress | None = None,
) -> dict[Entry, Model | str]:
    """The prepared model of each entry, or why the runtime can't have it; both measurements of a network share one.

    Raises:
        ModelError: it can't have any.
    """
    found: dict[Entry, Model | str] = {}
    for index, entry in enumerate(entries):
        if isinstance(entry, Whole) and entry.held_out == "again":
            found[entry] = found[Whole(entry.choices, "first")]
            continue
        found[entry] = model_of(space, entry, runtime, precision)
        if progress:
            progress("writing models", index + 1, len(entries), "")
    reasons = [reason for reason in found.values() if isinstance(reason, str)]
    if reasons and len(reasons) == len(found):
        raise ModelError(f"{runtime.name} can prepare none of {len(found)} models; the first: {reasons[0]}")
    return found


def model_of(space: Space, entry: Entry, runtime: Runtime, precision: str) -> Model | str:
    """The prepared model of one entry, or why the runtime can't have it."""
    plain = op_model(entry) if isinstance(entry, Op) else network_model(space, entry.choices)
    return prepared(plain, runtime, precision)


def prepared(plain: Model, runtime: Runtime, precision: str) -> Model | str:
    """An fp32 model in the form that ``runtime`` loads, or why it can't have that."""
    try:
        return Model(runtime.prepare(plain.data, precision), plain.input_chw)
    except ModelError as error:
        return str(error)
