"""`ModuleOp`: a block that is a module of the user's own code, as a space's choice or stem."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from onnx import numpy_helper

from hwnas.errors import HwnasWarning, ModelError, SpaceError, shown
from hwnas.graph.count import Cost
from hwnas.graph.graph import Op, Shape, channels
from hwnas.graph.opaque import Opaque
from hwnas.imported import imported, names_code, own_code
from hwnas.onnx.count import count_model
from hwnas.onnx.model import OnnxModel
from hwnas.onnx.observe import node_by_node
from hwnas.onnx.read import is_layer
from hwnas.onnx.template import Template, template_of
from hwnas.parse import parse_json
from hwnas.records.target import OPSET

if TYPE_CHECKING:
    from torch import Tensor, nn

_OPSETS = 14, 20  # that PyTorch's exporter which traces writes
_INPUT = "input"
_AGREES = 1e-3
"""Relative difference of a template's numbers to the module's that is rounding."""


@dataclass(frozen=True, kw_only=True)
class ModuleOp(Opaque):
    """Somebody's module: trained as it is, written as PyTorch exports it.

    Attributes:
        module: ``package.module:callable`` or ``file.py:callable``; what that gives for these arguments is an
            ``nn.Module`` that takes one tensor and gives one.
        arguments: as JSON, sorted; ``c_in`` isn't among them, nor what else follows from the shape that goes in.
        graph_sha256: of what it computes, see :class:`hwnas.onnx.template.Template`: an op is another one when the code
            has changed so that it computes something else.
    """

    kind: ClassVar[str] = "module"
    module: str
    arguments: str
    graph_sha256: str

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_named(self.module)
        if not isinstance(parse_json(self.arguments, f"op {self.kind}: arguments", SpaceError), dict):
            raise SpaceError(f"op {self.kind}: arguments must be a JSON object, got {shown(self.arguments)}")

    @classmethod
    def made(cls, shape: Shape, given: Mapping[str, Any]) -> Op:
        """What ``module`` of the given fields makes of the others, for a value of ``shape`` that goes in.

        Raises:
            SpaceError: the callable isn't there, raises, or gives something that can't be a block; all in one line.
        """
        module = given["module"]
        _check_named(module)
        own = {name: value for name, value in given.items() if name not in ("module", "kind")}
        arguments = json.dumps(own, sort_keys=True)
        seen = _seen(_source(module), module, arguments, shape)
        return cls(module=module, arguments=arguments, shape=shape, to=seen.to, graph_sha256=seen.template.sha256)

    @property
    def own_cost(self) -> Cost:
        return self._seen.cost

    @property
    def own_peak_elements(self) -> int:
        return self._seen.peak_elements

    def own_layer(self, seed: int) -> nn.Module:
        return _build(self.module, self.arguments, self.shape, seed)

    def own_nodes(self, weights: Mapping[str, npt.NDArray[Any]] | None, opset: int) -> bytes:
        _ = self._seen  # which holds the code against what it was
        seen = _seen(_source(self.module), self.module, self.arguments, self.shape, opset)
        return bytes(seen.template.filled(seen.weights if weights is None else weights).SerializeToString())

    @property
    def label(self) -> str:
        return ", ".join((self._name, *self._told()))

    @property
    def short(self) -> str:
        return " ".join((self._name, *self._told()))

    @property
    def caption(self) -> str:
        return self._name

    @property
    def family(self) -> str:
        return f"{self.kind} {self.module}"

    @property
    def _name(self) -> str:
        return self.module.rpartition(":")[2]

    def _told(self) -> list[str]:
        given = parse_json(self.arguments, self.module, SpaceError)
        return [f"{name} {value}" for name, value in given.items() if name != "c_out"]

    def _details(self) -> str:
        return "".join(f" {text}" for text in (self.module, *self._told()))

    @property
    def _seen(self) -> _Seen:
        """SpaceError where the code computes something else now."""
        seen = _seen(_source(self.module), self.module, self.arguments, self.shape)
        if seen.template.sha256 != self.graph_sha256:
            raise SpaceError(
                f"{self.module} doesn't compute what it did when this was made of it; bring the code back that it had "
                "then, or make it anew"
            )
        return seen


def _check_named(module: object) -> None:
    if not isinstance(module, str) or not names_code(module):
        raise SpaceError(f"op module: module must be file.py:callable or package.module:callable, got {shown(module)}")


class _Source(NamedTuple):
    """Which file, as it was when: what is remembered of a module is of these."""

    path: Path | None
    changed_ns: int


def _source(module: str) -> _Source:
    path = Path(module.rpartition(":")[0])
    if path.suffix != ".py" or not path.is_file():
        return _Source(None, 0)
    return _Source(path.resolve(), path.stat().st_mtime_ns)


class _Seen(NamedTuple):
    """What is known of a module once it was made and exported."""

    template: Template
    weights: Mapping[str, npt.NDArray[Any]]
    to: Shape
    cost: Cost
    peak_elements: int


@cache
def _seen(source: _Source, module: str, arguments: str, shape: Shape, opset: int = OPSET) -> _Seen:
    if not _OPSETS[0] <= opset <= _OPSETS[1]:
        raise ModelError(f"PyTorch exports {module} in opsets {_OPSETS[0]} to {_OPSETS[1]}, not {opset}")
    import torch

    from hwnas.nn.exported import exported

    what = f"{module} {arguments}" if arguments != "{}" else module
    made = [_build(module, arguments, shape, seed).eval() for seed in (0, 1)]
    inputs = [torch.randn((2, *shape), generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    given = [_given(made[0], factor * each, what) for factor, each in zip((1, -4), inputs, strict=True)]
    state = made[0].state_dict()
    with own_code(module, "exporting it", SpaceError):
        one, two = (
            exported(each, {_INPUT: torch.zeros((batch, *shape))}, what, opset=opset, folding=False)
            for each, batch in zip(made, (1, 2), strict=True)
        )
    try:
        template = template_of(one, two, state)
        weights = {name: tensor.numpy() for name, tensor in state.items()}
        filled = template.filled(weights)
        feeds = [{template.input: (factor * each).numpy()} for factor, each in zip((1, -4), inputs, strict=True)]
        for values, expected in zip(node_by_node(filled, feeds), given, strict=True):
            if not _agree(values[template.output], expected.numpy()):
                raise ModelError("its ONNX graph gives other numbers than it: what it computes depends on the data")
    except ModelError as error:
        raise SpaceError(f"{what} can't be a block: {error}") from None
    cost, peak = _costs(template, weights, shape, what, sum(each.numel() for each in made[0].parameters()))
    return _Seen(template, weights, tuple(given[0].shape[1:]), cost, peak)


def _given(module: nn.Module, x: Tensor, what: str) -> Tensor:
    """What the module gives, twice the same."""
    import torch

    with own_code(what, f"calling it with {'×'.join(map(str, x.shape))}", SpaceError), torch.no_grad():
        first, second = module(x.clone()), module(x.clone())
    if not isinstance(first, torch.Tensor):
        raise SpaceError(f"{what} can't be a block: it gives a {type(first).__name__}, not one tensor")
    if first.dtype != torch.float32 or first.dim() not in (2, 3, 4) or len(first) != len(x):
        told = f"{first.dtype} of {'×'.join(map(str, first.shape))}".removeprefix("torch.")
        raise SpaceError(f"{what} can't be a block: of a batch of {len(x)} it makes {told}, not one value for each")
    if not torch.isfinite(first).all():
        raise SpaceError(f"{what} can't be a block: of normal numbers it makes a NaN or an infinity")
    if not torch.equal(first, second):
        raise SpaceError(f"{what} can't be a block: it gives other numbers each time that it is called, in eval mode")
    return first


def _agree(given: npt.NDArray[Any], expected: npt.NDArray[Any]) -> bool:
    if given.shape != expected.shape:
        return False
    return bool(np.abs(given - expected).max() <= _AGREES * max(np.abs(expected).max(), 1e-6))


def _costs(
    template: Template, weights: Mapping[str, npt.NDArray[Any]], shape: Shape, what: str, params: int
) -> tuple[Cost, int]:
    proto = template.filled(weights)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    proto.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    del proto.graph.value_info[:]
    found = count_model(OnnxModel(what, proto.SerializeToString(), (), ()))
    if found.uncounted:
        raise SpaceError(
            f"{what} can't be a block: hwnas can't count {found.uncounted[0].name}: {found.uncounted[0].uncounted}"
        )
    known = {weight.name: numpy_helper.to_array(weight).size for weight in proto.graph.initializer}
    layers = [node for node in proto.graph.node if is_layer(node, known)]
    stored = sum(known[node.input[1]] for node in layers)
    biases = sum(known[name] for node in layers for name in node.input[2:3])
    cost = Cost(found.madds, params, stored, biases, found.params - stored - biases)
    return cost, round((found.peak_activation_mb or 0) * 1e6 / 4)


def _build(module: str, arguments: str, shape: Shape, seed: int) -> nn.Module:
    import torch
    from torch import nn

    make = _callable(_source(module), module)
    given = parse_json(arguments, module, SpaceError)
    sides = {"h_in": shape[1], "w_in": shape[2]} if len(shape) == 3 else {"tokens": shape[0]}
    with own_code(module, f"calling it with {_spelled(given)}", SpaceError):
        asked = inspect.signature(make).parameters
    given = {"c_in": channels(shape), **{name: size for name, size in sides.items() if name in asked}, **given}
    with (
        own_code(module, f"calling it with {_spelled(given)}", SpaceError),
        torch.random.fork_rng(devices=[]),
        torch.device("cpu"),
    ):
        torch.manual_seed(seed)
        made = make(**given)
    if not isinstance(made, nn.Module):
        raise SpaceError(f"{module} gives a {type(made).__name__}; a block's code returns an nn.Module")
    return made


def _spelled(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


@cache
def _callable(source: _Source, module: str) -> Callable[..., object]:
    found = imported(module, SpaceError)
    if not callable(found):
        raise SpaceError(f"{module} is {shown(found)}; a block's code is a callable that returns an nn.Module")
    warnings.warn(f"{module}, which is your own code, is run", HwnasWarning, stacklevel=2)
    return found
