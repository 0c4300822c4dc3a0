"""OpenVINO's kernels: which nodes each layer of its execution graph computes, and that they become that layer again."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional

from hwnas.errors import ModelError
from hwnas.graph.kernel import Kernel, Launch
from hwnas.onnx.kernel_model import kernel_model
from hwnas.onnx.model import model_of
from hwnas.onnx.optimize.tidy import fold_constants
from hwnas.onnx.stand_in import stand_in

openvino = pytest.importorskip("openvino", reason="the extra openvino isn't installed")

from hwnas.runtimes.openvino import OpenVino  # noqa: E402
from hwnas.runtimes.openvino_kernels import kernels_of  # noqa: E402


def exported(module: nn.Module, *shape: int) -> bytes:
    data = io.BytesIO()
    torch.onnx.export(module.eval(), (torch.zeros(shape),), data, dynamo=False, opset_version=17)
    return model_of(data.getvalue(), "net.onnx").data


def conv(c_in: int, c_out: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(c_out)
    )


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one, self.two = conv(3, 16, stride=2), conv(16, 16), conv(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(functional.relu(self.stem(x)), 3, 2, 1)
        x = functional.relu(x + self.two(functional.relu(self.one(x))))
        return functional.adaptive_avg_pool2d(x, 1).flatten(1)


class Gated(nn.Module):
    """The hard-swish of the paper's code has a name of OpenVINO's own, and none of the model's."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.depthwise, self.project = conv(3, 16), conv(16, 16, 5, groups=16), conv(16, 8, 1)
        self.squeeze, self.excite = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = x * functional.relu6(x + 3) / 6
        x = self.depthwise(x)
        x = x * functional.relu6(x + 3) / 6
        gate = self.excite(functional.relu(self.squeeze(functional.adaptive_avg_pool2d(x, 1))))
        return self.project(x * functional.relu6(gate + 3) / 6)


class Shuffled(nn.Module):
    """Slices become a split with a name of OpenVINO's own; of the shuffle's three nodes only the last is named."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = conv(3, 16), conv(8, 8), conv(8, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(2):
            x = self.stem(x) if x.shape[1] == 3 else x
            left, right = x[:, :8], x[:, 8:]
            x = torch.cat([left, functional.relu(self.left(right))], 1)
            x = x.reshape(1, 2, 8, 12, 12).transpose(1, 2).reshape(1, 16, 12, 12)
        return x


NETWORKS: dict[str, Callable[[], bytes]] = {
    "residual": lambda: exported(Residual(), 1, 3, 24, 24),
    "gated": lambda: exported(Gated(), 1, 3, 12, 12),
    "shuffled": lambda: exported(Shuffled(), 1, 3, 12, 12),
}


def execution_graph(model: bytes) -> Any:
    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    return core.compile_model(core.read_model(model), "CPU", settings).get_runtime_model()


def layers(model: bytes) -> Counter[str]:
    """Types of the layers that compute something."""
    told = [op.get_rt_info() for op in execution_graph(model).get_ordered_ops()]
    found = Counter(str(each["layerType"].value) for each in told)
    for kind in ("Input", "Output", "Const", "Reorder", "Transpose", "StridedSlice", "Reshape"):
        del found[kind]
    return found


def own(launch: Launch) -> list[str]:
    """Operators of the nodes that a launch computes."""
    assert launch.kernel
    return [node.op for node in launch.kernel.own]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_kernel_alone_becomes_its_layer_again(name: str) -> None:
    model = NETWORKS[name]()
    launches = OpenVino().kernels(model, "fp32")
    again: Counter[str] = Counter()
    for launch in launches:
        assert launch.kernel, launch
        alone = layers(kernel_model(launch.kernel)[0])
        if neighbour := launch.kernel.neighbour:
            alone -= layers(kernel_model(neighbour)[0])
        assert alone.total() <= 1, launch
        again += alone
    assert again == layers(model)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_node_is_in_one_kernel(name: str) -> None:
    model = NETWORKS[name]()
    nodes = Counter(node.op_type for node in onnx.load_from_string(model).graph.node)
    del nodes["Constant"], nodes["Identity"]
    moved = [launch for launch in OpenVino().kernels(model, "fp32") if launch.name.startswith("Reorder of ")]
    cut = [launch for launch in OpenVino().kernels(model, "fp32") if launch not in moved]
    assert Counter(op for launch in cut for op in own(launch)) == nodes


def test_what_is_fused_is_one_kernel() -> None:
    ops = [own(launch) for launch in OpenVino().kernels(NETWORKS["residual"](), "fp32")]
    assert ["Conv", "Relu"] in ops
    assert ["Conv", "Add", "Relu"] in ops
    assert ["Conv", "Add", "Clip", "Mul", "Div"] in [
        own(launch) for launch in OpenVino().kernels(NETWORKS["gated"](), "fp32")
    ]


def _renamed(model: bytes, name: Callable[[int], str]) -> bytes:
    proto = onnx.load_from_string(model)
    for index, node in enumerate(proto.graph.node):
        node.name = name(index)
    return proto.SerializeToString()


@pytest.mark.parametrize(
    "name", [lambda _: "", lambda _: "twice", lambda index: f"a,b {index}/", lambda index: f"hwnas{index + 1}"]
)
def test_names_of_nodes_do_not_matter(name: Callable[[int], str]) -> None:
    model = NETWORKS["gated"]()
    expected = [launch.kernel for launch in OpenVino().kernels(model, "fp32")]
    assert [launch.kernel for launch in OpenVino().kernels(_renamed(model, name), "fp32")] == expected


def test_a_launch_is_called_after_the_models_nodes() -> None:
    model = _renamed(NETWORKS["residual"](), lambda index: f"n{index}")
    proto = onnx.load_from_string(model)
    ops = {node.name: node.op_type for node in proto.graph.node}
    for launch in OpenVino().kernels(model, "fp32"):
        if not launch.name.startswith("Reorder of "):
            assert [ops[name] for name in launch.name.split("+")] == own(launch)


def _model(nodes: list[onnx.NodeProto], outputs: dict[str, list[int]], **weights: Any) -> bytes:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 12, 12])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    proto: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model_of(proto.SerializeToString(), "net.onnx").data


WEIGHT = np.random.default_rng(0).standard_normal((8, 8, 3, 3), dtype=np.float32)
SHAPE = [1, 8, 12, 12]
PADS = {"pads": [1, 1, 1, 1]}


def _ops(model: bytes) -> list[list[str]]:
    launches = OpenVino().kernels(model, "fp32")
    assert all(launch.kernel for launch in launches)
    return [own(launch) for launch in launches if not launch.name.startswith("Reorder of ")]


def test_layers_that_share_weights_are_one_kernel() -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], **PADS), helper.make_node("Conv", ["y", "w"], ["z"], **PADS)]
    launches = OpenVino().kernels(_model(nodes, {"z": SHAPE}, w=WEIGHT), "fp32")
    convs = [launch.kernel for launch in launches if launch.kernel and own(launch) == ["Conv"]]
    assert len(convs) == 2
    assert len(set(convs)) == 1


def test_what_is_given_out_ends_a_kernel() -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], **PADS), helper.make_node("Relu", ["y"], ["z"])]
    assert _ops(_model(nodes, {"z": SHAPE}, w=WEIGHT)) == [["Conv", "Relu"]]
    assert _ops(_model(nodes, {"y": SHAPE, "z": SHAPE}, w=WEIGHT)) == [["Conv"], ["Relu"]]


def test_a_node_of_several_outputs() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], **PADS),
        helper.make_node("Split", ["y"], ["a", "b"], axis=1),
        helper.make_node("Mul", ["a", "b"], ["z"]),
    ]
    assert _ops(_model(nodes, {"z": [1, 4, 12, 12]}, w=WEIGHT)) == [["Conv"], ["Split"], ["Mul"]]


def test_inputs_that_are_not_given() -> None:
    nodes = [
        helper.make_node("Clip", ["x", "", "six"], ["y"]),
        helper.make_node("Resize", ["y", "", "scales"], ["z"], mode="nearest"),
    ]
    model = _model(nodes, {"z": [1, 8, 24, 24]}, six=np.float32(6), scales=np.array([1, 1, 2, 2], np.float32))
    assert _ops(model) == [["Clip"], ["Resize"]]


def test_a_node_that_changes_nothing_is_in_the_kernel_that_reads_it() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], **PADS),
        helper.make_node("Dropout", ["y"], ["d"]),
        helper.make_node("MaxPool", ["d"], ["z"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    assert sorted(map(len, _ops(_model(nodes, {"z": [1, 8, 6, 6]}, w=WEIGHT)))) == [1, 2]


def test_what_is_computed_twice_runs_once() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], **PADS),
        helper.make_node("Conv", ["x", "w"], ["b"], **PADS),
        helper.make_node("Concat", ["a", "b"], ["z"], axis=1),
    ]
    assert _ops(_model(nodes, {"z": [1, 16, 12, 12]}, w=WEIGHT)) == [["Conv"], ["Concat"]]


def test_layers_that_contradict_the_model_are_not_cut_out() -> None:
    """As if OpenVINO had given a layer another's name."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="first", **PADS),
        helper.make_node("Conv", ["a", "w"], ["b"], name="second", **PADS),
        helper.make_node("Conv", ["a", "v"], ["c"], name="third", **PADS),
        helper.make_node("Concat", ["b", "c"], ["z"], name="both", axis=1),
    ]

    def misnamed(model: bytes) -> Any:
        proto = onnx.load_from_string(model)
        first, second = proto.graph.node[:2]
        first.name, second.name = second.name, first.name
        return execution_graph(proto.SerializeToString())

    model = _model(nodes, {"z": [1, 16, 12, 12]}, w=WEIGHT, v=-WEIGHT)
    assert all(launch.kernel for launch in kernels_of(model, execution_graph))
    uncut = [launch for launch in kernels_of(model, misnamed) if not launch.kernel]
    assert uncut
    assert any("it isn't clear which nodes OpenVINO's Convolution computes" in launch.uncut for launch in uncut)


def _quantized() -> bytes:
    folded = fold_constants(onnx.load_from_string(NETWORKS["residual"]()))  # the exporter has one bias for several
    assert folded
    return OpenVino().prepare(folded.model.SerializeToString(), "int8")


def test_kernels_of_an_int8_graph_compute_in_int8() -> None:
    runtime = OpenVino()
    model = _quantized()
    quantized = [launch.kernel for launch in runtime.kernels(model, "int8") if launch.kernel and "Conv" in own(launch)]
    assert len(quantized) == 3
    for kernel in quantized:
        data, ports = kernel_model(kernel)
        session = runtime.load(data, threads=1, precision="int8")  # which refuses what is computed in float
        assert all(np.isfinite(given).all() for given in session.run([stand_in(port) for port in ports]))


def test_scales_do_not_tell_kernels_apart() -> None:
    def kernels(seed: int) -> list[Kernel | None]:
        torch.manual_seed(seed)
        return [launch.kernel for launch in OpenVino().kernels(_quantized(), "int8")]

    assert kernels(0) == kernels(1)


HAS_BF16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.mark.skipif(not HAS_BF16, reason="this processor has no bf16 arithmetic")
@pytest.mark.parametrize("name", NETWORKS)
def test_kernels_in_bf16_take_and_give_what_they_do_inside(name: str) -> None:
    runtime = OpenVino()
    launches = runtime.kernels(NETWORKS[name](), "bf16")
    stored = [value.stored for launch in launches if launch.kernel for value in launch.kernel.values]
    assert "bfloat16" in stored
    for launch in launches:
        assert launch.kernel, launch
        data, ports = kernel_model(launch.kernel)
        checked = launch.kernel.kind.startswith("Conv")  # what computes in float where bf16 was asked, is refused
        session = runtime.load(data, threads=1, precision="bf16", as_is=not checked)
        assert {port.dtype for port in ports} <= {"bfloat16", "float32"}
        session.bind([stand_in(port) for port in ports])()


def test_what_has_no_shape_is_refused() -> None:
    proto = onnx.load_from_string(NETWORKS["residual"]())
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    with pytest.raises(ModelError, match=r"the sizes of the model's input .* aren't fixed"):
        OpenVino().kernels(proto.SerializeToString(), "fp32")
