"""Graph -> nn.Module: the one builder, used for the supernet and the derived network alike."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from hwnas.graph.foldable import residual_ends_of
from hwnas.graph.graph import Graph, Node, Op, Shape, expanded
from hwnas.graph.opaque import Opaque
from hwnas.graph.primitives import (
    EPSILON,
    Activation,
    Add,
    Conv,
    Flatten,
    LayerNorm,
    Linear,
    Matmul,
    Multiply,
    Norm,
    Pool,
    Position,
    Primitive,
    Reshape,
    Scale,
    Softmax,
    TokenPool,
    Transpose,
)

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU, "relu6": nn.ReLU6, "hswish": nn.Hardswish, "hsigmoid": nn.Hardsigmoid, "gelu": nn.GELU,
}  # fmt: skip

Function = Callable[..., torch.Tensor]


def layer(op: Primitive) -> nn.Module | Function:
    """What computes a primitive: a layer, or a function where it has nothing to keep.

    Raises:
        TypeError: nobody says how.
    """
    if isinstance(op, Conv):
        return nn.Conv2d(op.shape[0], op.c_out, op.kernel, op.stride, op.padding, groups=op.groups, bias=op.bias)
    if isinstance(op, Linear):
        return nn.Linear(op.shape[-1], op.c_out)
    if isinstance(op, Norm):
        return nn.BatchNorm2d(op.shape[0], eps=EPSILON)
    if isinstance(op, Activation):
        return _ACTIVATIONS[op.act]()
    if isinstance(op, Pool):
        return nn.AdaptiveAvgPool2d(1)
    if isinstance(op, Flatten):
        return nn.Flatten()
    if isinstance(op, Add):
        return torch.add
    if isinstance(op, Multiply):
        return torch.mul
    if isinstance(op, LayerNorm):
        return nn.LayerNorm(op.shape[-1], eps=EPSILON)
    if isinstance(op, Scale):
        return partial(torch.mul, other=op.factor)
    if isinstance(op, Softmax):
        return nn.Softmax(-1)
    if isinstance(op, Matmul):
        return torch.matmul
    if isinstance(op, Reshape):
        return partial(_reshaped, to=op.to)
    if isinstance(op, Transpose):
        return partial(torch.permute, dims=(0, *op.order))
    if isinstance(op, Position):
        return _Position(op)
    if isinstance(op, TokenPool):
        return partial(torch.select, dim=1, index=0) if op.token else partial(torch.mean, dim=1)
    if isinstance(op, Opaque):
        with torch.device("cpu"):  # whatever is around: code of anybody's may compute with what it makes
            made: nn.Module = op.own_layer(0)
        return made
    raise TypeError(f"no layer is known for {op.kind!r}; add one to hwnas.nn.layers")


def _reshaped(x: torch.Tensor, to: Shape) -> torch.Tensor:
    return x.reshape(-1, *to)


class _Position(nn.Module):
    """See :class:`hwnas.graph.primitives.Position`: tokens (B, N, C) -> (B, N or N + 1, C)."""

    def __init__(self, op: Position) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(op.parameters["weight"]))
        self.token = nn.Parameter(torch.empty(op.parameters["token"])) if op.token else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.token is not None:
            x = torch.cat([self.token.expand(len(x), 1, -1), x], dim=1)
        return x + self.weight


def build(op: Op) -> nn.Module:
    """The module that computes ``op``: x_NCHW -> what comes out; a layer itself where the op is one."""
    graph = expanded(op)
    if [node.place for node in graph] == [""]:
        found = layer(graph.nodes[0].op)  # type: ignore[arg-type]
        assert isinstance(found, nn.Module)
        return found
    return GraphModule(graph)


class GraphModule(nn.Module):
    """Computes a graph node by node; each node's module lies at its place.

    Args:
        graph: of one input and one output; its nodes may be blocks, each of which is a module of this kind.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        last_use = {name: index for index, node in enumerate(graph) for name in node.inputs}
        self._steps: list[_Step] = []
        for index, node in enumerate(graph):
            computes = layer(node.op) if isinstance(node.op, Primitive) else build(node.op)
            over = [n for n in dict.fromkeys(node.inputs) if last_use[n] == index and n not in graph.outputs]
            if isinstance(computes, nn.Module):
                self._steps.append(_Step(node, *_put(self, node.place, computes), None, tuple(over)))
            else:
                self._steps.append(_Step(node, self, "", computes, tuple(over)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = {self.graph.inputs[0]: x}
        del x
        for node, holder, name, function, over in self._steps:
            # looked up anew, so that a layer may be replaced by another as in any module
            computes = function or holder._modules[name]
            assert computes is not None
            values[node[0]] = computes(*[values[value] for value in node[2]])
            for value in over:
                del values[value]  # frees memory as soon as it can be
        return values[self.graph.outputs[0]]


class _Step(NamedTuple):
    """A node with what computes it, the attribute ``name`` of ``holder`` or a function; and the values used up then."""

    node: Node
    holder: nn.Module
    name: str
    function: Function | None
    over: tuple[str, ...]


def _put(root: nn.Module, place: str, module: nn.Module) -> tuple[nn.Module, str]:
    """Put a module at a dotted place; returns what holds it there, and by which name."""
    *way, name = place.split(".")
    for step in way:
        if not hasattr(root, step):
            root.add_module(step, nn.Module())
        root = root.get_submodule(step)
    root.add_module(name, module)
    return root, name


def weights_of(module: nn.Module) -> dict[str, npt.NDArray[np.float32]]:
    """All parameters and statistics by place and name, as :func:`hwnas.onnx.write.to_onnx` takes them."""
    return {name: tensor.detach().float().cpu().numpy() for name, tensor in module.state_dict().items()}


@torch.no_grad()
def quiet_residuals(module: nn.Module, op: Op) -> None:
    """Let a residual block start as the identity: what each branch ends in is 0, a BN's scale (Goyal et al. 2017,
    §5.1) or a linear layer's weights (Fixup, arXiv 1901.09321).

    A supernet's paths then start shallow, which is what makes a short training of one possible.
    """
    for place in residual_ends_of(op):
        end = module.get_submodule(place)
        assert isinstance(end, nn.BatchNorm2d | nn.Linear)
        end.weight.zero_()


@torch.no_grad()
def initialize(module: nn.Module, op: Op, generator: torch.Generator) -> None:
    """Fresh weights from ``generator`` for every layer of ``op``'s module, built on the meta device.

    Convolutions: He normal, fan out within a group (He et al. 2015, §2.2). Linear: normal, σ 0.01; over tokens as ViT
    has it, normal with the mean of fan in and fan out (Glorot & Bengio 2010, eq. 12). Positions: normal, σ 0.02. What
    starts as the identity does. An opaque primitive's layer begins as its own code makes it.
    """
    for node in expanded(op):
        assert isinstance(node.op, Primitive)
        if isinstance(node.op, Opaque):
            _as_made(module.get_submodule(node.place), node.op, generator)
            continue
        if not node.op.parameters:
            continue
        part = module.get_submodule(node.place)
        if isinstance(part, nn.Conv2d):
            if op.starts_as_identity:
                nn.init.dirac_(part.weight)
                continue
            fan_out = part.out_channels // part.groups * part.kernel_size[0] * part.kernel_size[1]
            part.weight.normal_(0, (2 / fan_out) ** 0.5, generator=generator)
            if part.bias is not None:
                part.bias.zero_()
        elif isinstance(part, nn.BatchNorm2d | nn.LayerNorm):
            part.reset_parameters()
        elif isinstance(part, nn.Linear):
            over_tokens = len(node.op.out_shape) > 1
            deviation = (2 / (part.in_features + part.out_features)) ** 0.5 if over_tokens else 0.01
            part.weight.normal_(0, deviation, generator=generator)
            part.bias.zero_()
        elif isinstance(part, _Position):
            for tensor in part.parameters():
                tensor.normal_(0, 0.02, generator=generator)


def _as_made(part: nn.Module, op: Opaque, generator: torch.Generator) -> None:
    fresh = op.own_layer(int(torch.randint(2**31, (), generator=generator)))
    made = {**dict(fresh.named_parameters()), **dict(fresh.named_buffers())}
    for name, tensor in (*part.named_parameters(), *part.named_buffers()):
        tensor.copy_(made[name])
