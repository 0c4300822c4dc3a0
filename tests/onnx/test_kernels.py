"""Kernels: what ONNX Runtime really launches, each the key of a table and a model of its own."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import helper
from torch import nn

from hwnas.graph.kernel import Kernel, KernelNode, Value
from hwnas.graph.kernel_cost import Work, work
from hwnas.onnx.kernel_model import kernel_model
from hwnas.onnx.kernels import Part, launches
from hwnas.onnx.model import model_of
from hwnas.onnx.stand_in import stand_in
from hwnas.runtimes.onnxruntime import OnnxRuntime
from tests import onnx_models


def exported(module: nn.Module, *inputs: torch.Tensor) -> bytes:
    return model_of(onnx_models.exported(module, *inputs), "net.onnx").data


def plain(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


NET = nn.Sequential(
    nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(),
    nn.Conv2d(16, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5),
)  # fmt: skip


def test_onnx_runtime_tells_its_own_fused_graph() -> None:
    launched = OnnxRuntime().kernels(exported(NET, torch.zeros(1, 3, 32, 32)), "fp32")
    kernels = [each.kernel for each in launched]
    convs = [kernel for kernel in kernels if kernel and kernel.kind == "Conv"]
    assert {node.domain for kernel in convs for node in kernel.nodes} == {"com.microsoft.nchwc"}
    assert not any("Relu" in kernel.kind or "Batch" in kernel.kind for kernel in kernels if kernel)
    assert len(convs) == 3
    assert len(set(convs)) == 2  # two of them are one kernel
    assert all(each.kernel for each in launched)


def test_a_kernel_alone_takes_and_gives_what_it_does_in_the_network() -> None:
    for launch in OnnxRuntime().kernels(exported(NET, torch.zeros(1, 3, 32, 32)), "fp32"):
        assert launch.kernel
        data, ports = kernel_model(launch.kernel)
        assert kernel_model(launch.kernel)[0] == data
        given = plain(data).run(None, {port.name: stand_in(port) for port in ports})
        values = launch.kernel.values
        assert [(x.shape, x.dtype.name) for x in given] == [
            (values[i].shape, values[i].dtype) for i in launch.kernel.outputs
        ]
        assert all(np.isfinite(x).all() for x in given)


def test_a_kernel_survives_a_file() -> None:
    for launch in OnnxRuntime().kernels(exported(NET, torch.zeros(1, 3, 32, 32)), "fp32"):
        assert launch.kernel
        again = Kernel.model_validate_json(launch.kernel.model_dump_json())
        assert again == launch.kernel
        assert hash(again) == hash(launch.kernel)


class _Shapes(nn.Module):
    def __init__(self, exponent: float, width: int) -> None:
        super().__init__()
        self.exponent, self.width = exponent, width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.pow(x, self.exponent).reshape(-1, self.width)


@pytest.mark.parametrize(("one", "other"), [((2.0, 4), (0.5, 4)), ((2.0, 4), (2.0, 8))])
def test_constants_that_decide_the_work_tell_kernels_apart(one: tuple[float, int], other: tuple[float, int]) -> None:
    def kernels(exponent: float, width: int) -> set[Kernel | None]:
        launched = OnnxRuntime().kernels(exported(_Shapes(exponent, width), torch.ones(1, 3, 8, 8)), "fp32")
        return {each.kernel for each in launched}

    assert kernels(*one) == kernels(*one)
    assert kernels(*one) != kernels(*other)


def test_weights_do_not_tell_kernels_apart() -> None:
    nets = [nn.Conv2d(3, 16, 3) for _ in range(2)]
    found = [OnnxRuntime().kernels(exported(net, torch.zeros(1, 3, 16, 16)), "fp32") for net in nets]
    assert [each.kernel for each in found[0]] == [each.kernel for each in found[1]]


def test_kernels_of_an_int8_graph_run_alone() -> None:
    """Scales and zero points stand in too: what they are, doesn't tell kernels apart."""
    runtime = OnnxRuntime()
    launched = runtime.kernels(runtime.prepare(exported(NET, torch.zeros(1, 3, 32, 32)), "int8"), "int8")
    assert "QLinearConv" in {launch.kernel.kind for launch in launched if launch.kernel}
    for launch in launched:
        assert launch.kernel, launch
        data, ports = kernel_model(launch.kernel)
        given = plain(data).run(None, {port.name: stand_in(port) for port in ports})
        values = launch.kernel.values
        assert [(x.shape, x.dtype.name) for x in given] == [
            (values[i].shape, values[i].dtype) for i in launch.kernel.outputs
        ]


def test_copies_have_weights_of_their_own_and_give_shapes() -> None:
    runtime = OnnxRuntime()
    launched = runtime.kernels(exported(NET, torch.zeros(1, 3, 32, 32)), "fp32")
    for kernel in {launch.kernel for launch in launched if launch.kernel}:
        (alone, ports), (data, same) = kernel_model(kernel), kernel_model(kernel, copies=3)
        assert same == ports
        one, three = onnx.load_from_string(alone).graph, onnx.load_from_string(data).graph
        assert len(three.initializer) == 3 * len(one.initializer)
        assert len({each.name for each in three.initializer}) == len(three.initializer)
        assert [node.op_type for node in three.node] == 3 * [*(node.op_type for node in one.node), "Shape"]
        given = plain(data).run(None, {port.name: stand_in(port) for port in ports})
        assert [tuple(each) for each in given] == 3 * [kernel.values[i].shape for i in kernel.outputs]


def _relu(opset: int) -> Kernel:
    images = Value(dtype="float32", shape=(1, 3, 4, 5), channels_last=True)
    relu = KernelNode(op="Relu", inputs=(0,), outputs=(1,))
    return Kernel(opset=opset, nodes=(relu,), values=(images, images), outputs=(1,))


@pytest.mark.parametrize("opset", [9, 17])
def test_channels_that_lie_last_come_and_go_so(opset: int) -> None:
    data, (port,) = kernel_model(_relu(opset))
    assert port.shape == (1, 4, 5, 3)
    images = stand_in(port)
    (first,) = plain(data).run(None, {port.name: images})
    assert first.shape == (1, 1, 1, 1)
    assert first.item() == max(images[0, 0, 0, 0], 0)


def test_a_number_decides_what_several_nodes_become() -> None:
    def kernel(bound: float) -> Kernel:
        values = (
            Value(dtype="float32", shape=(1, 8)), Value(dtype="float32", shape=(), constant=True, holds=(bound,)),
            Value(dtype="float32", shape=(1, 8)), Value(dtype="float32", shape=(1, 8)),
        )  # fmt: skip
        nodes = [helper.make_node("Min", ["x", "bound"], ["y"]), helper.make_node("Relu", ["y"], ["z"])]
        named = dict(zip(("x", "bound", "y", "z"), values, strict=True))
        graph = helper.make_graph(nodes, "two", [], [helper.make_empty_tensor_value_info("z")])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        (launch,) = launches(model, [Part("two", list(graph.node))], named)
        assert launch.kernel
        return launch.kernel

    assert kernel(6.0) != kernel(3.0)


def test_what_stands_beside_a_kernel_is_a_kernel() -> None:
    images = Value(dtype="float32", shape=(1, 3, 4, 4))
    values = (images, Value(dtype="float32", shape=(3, 1, 1, 1), constant=True), images, images)
    conv = KernelNode(op="Conv", attributes=(("group", 3),), inputs=(0, 1), outputs=(2,))
    relu = KernelNode(op="Relu", inputs=(2,), outputs=(3,))
    both = Kernel(opset=17, nodes=(conv, relu), values=values, outputs=(2, 3), beside=1)
    assert both.kind == "Relu"
    assert work(both) == Work(0, images.bytes, images.bytes)
    assert both.neighbour == Kernel(opset=17, nodes=(conv,), values=values[:3], outputs=(2,))
    assert both.neighbour.neighbour is None


def test_masks_with_infinite_numbers_are_cut() -> None:
    class Masked(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x + torch.full((4, 4), -torch.inf).triu(1)).softmax(-1)

    launched = OnnxRuntime().kernels(exported(Masked(), torch.zeros(1, 4, 4)), "fp32")
    assert [each.uncut for each in launched] == ["" for _ in launched]
    for each in launched:
        assert each.kernel
        kernel_model(each.kernel)


def test_what_lies_in_memory_as_bfloat16_is_handed_over_so() -> None:
    values = (Value(dtype="float32", shape=(1, 8), stored="bfloat16"),) * 2
    relu = KernelNode(op="Relu", inputs=(0,), outputs=(1,))
    data, (port,) = kernel_model(Kernel(opset=17, nodes=(relu,), values=values, outputs=(1,)))
    assert port.dtype == "bfloat16"
    assert values[0].bytes == 16
    session = plain(data)
    assert [each.type for each in (*session.get_inputs(), *session.get_outputs())] == ["tensor(bfloat16)"] * 2
    bits = stand_in(port).astype(np.uint32) << 16
    np.testing.assert_allclose(bits.view(np.float32), stand_in(port._replace(dtype="float32")), rtol=2**-7)


def test_keys_of_files_that_are_there_hold() -> None:
    value = Value(dtype="float32", shape=(1, 3))
    relu = KernelNode(op="Relu", inputs=(0,), outputs=(1,))
    kernel = Kernel(opset=17, nodes=(relu,), values=(value, value), outputs=(1,))
    assert kernel.key == "7c57b1cadf7e538a"
    last = value.model_copy(update={"channels_last": True, "stored": "bfloat16"})
    again = KernelNode(op="Relu", inputs=(1,), outputs=(2,))
    other = Kernel(opset=17, nodes=(relu, again), values=(last, last, last), outputs=(2,), beside=1)
    assert Kernel.model_validate_json(other.model_dump_json()) == other
    assert len({kernel.key, other.key}) == 2
