"""Counts of foreign networks: golden numbers, PyTorch's own flop counter, fvcore, and hwnas's count of its archs."""

from __future__ import annotations

import onnx
import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hwnas.graph.count import cost, count, peak_elements
from hwnas.nn.exported import exported
from hwnas.nn.layers import weights_of
from hwnas.nn.network import Network
from hwnas.onnx.count import ModelCount, count_model
from hwnas.onnx.model import model_of
from hwnas.onnx.write import to_onnx
from hwnas.space.arch import parse_arch
from tests.nn.famous import mobilenet_v2, resnet50


def counted(module: nn.Module, *inputs: Tensor) -> ModelCount:
    named = {f"x{place}": tensor for place, tensor in enumerate(inputs)}
    return count_model(model_of(exported(module, named, "net"), "net"))


@pytest.mark.parametrize(
    ("network", "params", "madds"),
    [(resnet50, 25_557_032, 4_089_184_256), (mobilenet_v2, 3_504_872, 300_774_272)],
)
def test_golden_numbers(network: type[nn.Module], params: int, madds: int) -> None:
    found = counted(network(), torch.zeros(1, 3, 224, 224))
    assert (found.params, found.madds) == (params, madds)
    assert found.uncounted == ()
    assert found.madds == sum(node.madds or 0 for node in found.nodes)


class _Attention(nn.Module):
    def __init__(self, heads: int = 4, width: int = 32) -> None:
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, -1))
        return x + self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class _Einsum(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.einsum("bhid,bhjd->bhij", x, y)


MODULES = {
    "conv1d": (nn.Conv1d(4, 6, 5, 2, groups=2), [(2, 4, 40)]),
    "conv2d": (nn.Conv2d(4, 8, (3, 1), padding=1, dilation=2, groups=4), [(1, 4, 20, 20)]),
    "conv3d": (nn.Conv3d(3, 4, 3), [(1, 3, 6, 7, 8)]),
    "transposed": (nn.ConvTranspose2d(6, 4, 3, 2, 1, 1, groups=2), [(1, 6, 9, 9)]),
    "linear": (nn.Linear(7, 9), [(3, 7)]),
    "linear of tokens": (nn.Linear(7, 9, bias=False), [(2, 5, 7)]),
    "attention": (_Attention(), [(2, 10, 32)]),
    "einsum": (_Einsum(), [(2, 3, 4, 5), (2, 3, 6, 5)]),
    "encoder": (nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True), [(2, 9, 32)]),
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_pytorchs_counter_agrees(name: str) -> None:
    module, shapes = MODULES[name]
    inputs = [torch.zeros(shape) for shape in shapes]
    found = counted(module, *inputs)
    # in other modes attention is one operator that the counter doesn't know
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        module.train()(*inputs)
    assert 2 * found.madds == counter.get_total_flops()
    assert found.params == sum(p.numel() for p in module.parameters())
    assert found.uncounted == ()


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_recurrent_layers(kind: type[nn.RNNBase], gates: int) -> None:
    found = counted(kind(6, 5, bidirectional=True), torch.zeros(7, 2, 6))
    assert found.madds == 7 * 2 * 2 * gates * 5 * (6 + 5)


def test_fvcore_agrees_on_a_network() -> None:
    network, images = mobilenet_v2().eval(), torch.zeros(1, 3, 64, 64)
    by_kind = FlopCountAnalysis(network, images).unsupported_ops_warnings(False).by_operator()
    assert counted(network, images).madds == by_kind["conv"] + by_kind["linear"]


def test_our_own_archs_count_the_same_from_their_files() -> None:
    arch = parse_arch("scarlet-a")
    network = Network(arch.space, arch.choices)
    found = count_model(model_of(to_onnx(network.graph, weights_of(network)), "scarlet-a"))
    assert found.madds == count(network.graph).madds
    assert found.params == sum(cost(op).weights + cost(op).biases for op in network.graph.ops)
    assert found.peak_activation_mb == max(map(peak_elements, network.graph.ops)) * 4 / 1e6


def test_tied_weights_count_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
            self.b.weight = self.a.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x))  # type: ignore[no-any-return]

    assert counted(Tied(), torch.zeros(1, 4)).params == 4 * 4 + 4 + 4


def _model(nodes: list[onnx.NodeProto], *weights: onnx.TensorProto, shape: tuple[int, ...] = (1, 9, 1)) -> ModelCount:
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], list(weights),
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return count_model(model_of(model.SerializeToString(), "net.onnx"))


def test_what_cannot_be_counted_is_named() -> None:
    found = _model([helper.make_node("Relu", ["x"], ["r"]), helper.make_node("DFT", ["r"], ["y"], name="spectrum")])
    assert [(node.name, node.op, node.madds, node.uncounted) for node in found.uncounted] == [
        ("spectrum", "DFT", None, "no formula is known for DFT")
    ]


def test_constants_in_nodes_are_weights_as_well() -> None:
    weight = numpy_helper.from_array(torch.ones(4, 9, 1).numpy(), "w")
    held = helper.make_node("Constant", [], ["w"], value=weight)
    inside = _model([held, helper.make_node("Conv", ["x", "w"], ["y"], name="c")])
    outside = _model([helper.make_node("Conv", ["x", "w"], ["y"], name="c")], weight)
    assert inside.nodes == outside.nodes
    assert inside.nodes[0].params == inside.nodes[0].madds == 36


def test_shapes_that_only_running_shows() -> None:
    """Of NonZero's output nobody but a run knows the size: it is shown, not guessed, or missing."""
    found = _model(
        [
            helper.make_node("NonZero", ["x"], ["n"]),
            helper.make_node("Cast", ["n"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("MatMul", ["w", "f"], ["y"], name="m"),
        ],
        numpy_helper.from_array(torch.ones(2, 3).numpy(), "w"),
    )
    assert [node.madds for node in found.nodes] == [0, 0, 2 * 3 * 9]
