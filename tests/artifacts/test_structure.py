"""The structure check: every arch in every precision passes, and each way of not being the arch is named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

from hwnas.artifacts.entry import Normalization
from hwnas.artifacts.parity import random_textures
from hwnas.artifacts.structure import check_structure, check_versions, layers_of
from hwnas.errors import CountError
from hwnas.graph.count import cost
from hwnas.nn.inherit import inherit
from hwnas.nn.network import Network
from hwnas.nn.released import load_scarlet
from hwnas.nn.supernet import Supernet
from hwnas.onnx.precision.half import to_half
from hwnas.onnx.precision.int8 import ONNXRUNTIME, OPENVINO, TENSORRT, quantize
from hwnas.ops.mbconv import MBConv
from hwnas.records.target import get_target
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from tests.nn.weights import lived_in
from tests.onnx_models import onnx_of

NORMALIZATION = Normalization((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


@pytest.fixture(scope="module")
def network() -> Network:
    space = get_space("scarlet-tiny")
    assert isinstance(space.layers[0][1], MBConv)
    return Network(space, [len(layer) - 2 for layer in space.layers]).eval()


@pytest.fixture(scope="module")
def chw(network: Network) -> tuple[int, int, int]:
    return network.space.stem.c_in, network.space.resolution, network.space.resolution


@pytest.fixture(scope="module")
def model(network: Network, chw: tuple[int, int, int]) -> bytes:
    return onnx_of(network, chw)


@pytest.mark.parametrize("name", ["scarlet-a", "scarlet-b", "scarlet-c"])
def test_released_archs_pass(name: str) -> None:
    network = load_scarlet(name, resolution=64)
    check_structure(onnx_of(network, (3, 64, 64)), network.graph)


def test_every_precision_passes(network: Network, model: bytes, chw: tuple[int, int, int]) -> None:
    images = random_textures(2, chw)
    kept = [node.name for node in onnx.load_from_string(model).graph.node][3:8]
    graphs = [to_half(model), to_half(model, kept)]
    graphs += [quantize(model, [[images]], preset) for preset in (ONNXRUNTIME, OPENVINO, TENSORRT)]
    for graph in graphs:
        check_structure(graph, network.graph)
        check_structure(NORMALIZATION.inside(graph), network.graph)


def test_a_network_with_stabilizers_that_stay_passes(small_space: ChainSpace) -> None:
    network = inherit(lived_in(Supernet(small_space.inheriting())), [0, 3, 1, 2, 4, 1]).eval()
    assert any(each.kept for each in network.stabilizers)
    check_structure(onnx_of(network, (3, 16, 16)), network.graph)


@pytest.mark.parametrize("name", ["scarlet-s2", "macro"])
def test_layers_of_an_op_are_what_the_formulas_count(name: str) -> None:
    """Two countings that share no code: a trace of the module, and arithmetic on the Op."""
    for op in get_space(name).distinct_ops[::4]:
        layers, expected = layers_of(op), cost(op)
        assert sum(layer.madds for layer in layers) == expected.madds
        assert sum(int(np.prod(layer.weight)) for layer in layers if layer.weight) == expected.weights


def _conv_added(proto: ModelProto) -> None:
    node = next(n for n in proto.graph.node if n.name.endswith("conv3"))
    channels = next(w.dims[0] for w in proto.graph.initializer if w.name == node.input[1])
    extra = numpy_helper.from_array(np.eye(channels, dtype=np.float32)[:, :, None, None], "extra.weight")
    proto.graph.initializer.append(extra)
    _insert_behind(proto, node.output[0], helper.make_node("Conv", ["x", "extra.weight"], ["y"], "extra"))


def _identity_added(proto: ModelProto) -> None:
    _insert_behind(proto, proto.graph.node[4].output[0], helper.make_node("Identity", ["x"], ["y"], "idle"))


def _dropout_added(proto: ModelProto) -> None:
    _insert_behind(proto, proto.graph.node[-2].output[0], helper.make_node("Dropout", ["x"], ["y"], "dropout"))


def _batchnorm_left(proto: ModelProto) -> None:
    node = next(n for n in proto.graph.node if n.name.endswith("conv3"))
    channels = next(w.dims[0] for w in proto.graph.initializer if w.name == node.input[1])
    names = [f"norm.{k}" for k in ("scale", "shift", "mean", "variance")]
    proto.graph.initializer.extend(numpy_helper.from_array(np.ones(channels, np.float32), name) for name in names)
    _insert_behind(proto, node.output[0], helper.make_node("BatchNormalization", ["x", *names], ["y"], "norm"))


def _insert_behind(proto: ModelProto, name: str, node: onnx.NodeProto) -> None:
    """``node`` between what gives ``name`` and all that reads it."""
    nodes = list(proto.graph.node)
    at = next(i for i, n in enumerate(nodes) if name in n.output)
    nodes[at].output[0] = f"{name}.before"
    node.input[0], node.output[0] = f"{name}.before", name
    del proto.graph.node[:]
    proto.graph.node.extend([*nodes[: at + 1], node, *nodes[at + 1 :]])


def _activation_removed(proto: ModelProto) -> None:
    node = next(n for n in proto.graph.node if n.op_type == "HardSwish")
    for other in proto.graph.node:
        for index, name in enumerate(other.input):
            if name == node.output[0]:
                other.input[index] = node.input[0]
    proto.graph.node.remove(node)


def _widened(proto: ModelProto) -> None:
    """Two more channels between a block's convolutions, as a graph of the supernet's widest choice would have."""
    block = next(n.name for n in proto.graph.node if n.name.endswith("conv3")).removesuffix(".conv3")
    for name, padding in (
        ("conv1.weight", [(0, 2), (0, 0), (0, 0), (0, 0)]), ("conv1.bias", [(0, 2)]),
        ("conv2.weight", [(0, 2), (0, 0), (0, 0), (0, 0)]), ("conv2.bias", [(0, 2)]),
        ("conv3.weight", [(0, 0), (0, 2), (0, 0), (0, 0)]),
        ("mid_se.squeeze_conv.weight", [(0, 0), (0, 2), (0, 0), (0, 0)]),
        ("mid_se.excite_conv.weight", [(0, 2), (0, 0), (0, 0), (0, 0)]), ("mid_se.excite_conv.bias", [(0, 2)]),
    ):  # fmt: skip
        for weight in proto.graph.initializer:
            if weight.name == f"{block}.{name}":
                weight.CopyFrom(numpy_helper.from_array(np.pad(numpy_helper.to_array(weight), padding), weight.name))
    depthwise = next(n for n in proto.graph.node if n.name == f"{block}.conv2")
    next(a for a in depthwise.attribute if a.name == "group").i += 2


def _unread_weight(proto: ModelProto) -> None:
    proto.graph.initializer.append(numpy_helper.from_array(np.ones((320, 1152, 1, 1), np.float32), "supernet.weight"))


def _dead_node(proto: ModelProto) -> None:
    proto.graph.node.append(helper.make_node("Relu", [proto.graph.node[2].output[0]], ["nobody"], "dead"))


def _large_constant(proto: ModelProto) -> None:
    classes = proto.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros((1, classes), np.float32), "large"))
    proto.graph.node[-1].output[0] = "x"
    proto.graph.node.append(helper.make_node("Mul", ["x", "large"], [proto.graph.output[0].name], "scale"))


def _shifted(proto: ModelProto) -> None:
    _large_constant(proto)
    proto.graph.node[-1].op_type = "Add"


def _metadata_added(proto: ModelProto) -> None:
    proto.metadata_props.add(key="ort_config", value='{"session_options": {"intra_op_num_threads": 64}}')


def _function_added(proto: ModelProto) -> None:
    body = [helper.make_node("Relu", ["x"], ["y"])]
    proto.functions.append(helper.make_function("own", "Other", ["x"], ["y"], body, proto.opset_import))
    proto.opset_import.append(helper.make_opsetid("own", 1))


def _bias_dropped(proto: ModelProto) -> None:
    node = next(n for n in proto.graph.node if n.name.endswith("conv3"))
    name = node.input.pop()
    proto.graph.initializer.remove(next(w for w in proto.graph.initializer if w.name == name))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_conv_added, r"1 × Conv \d+×\d+×1×1 at \d+ pixels too many"),
        (_identity_added, "1 × Identity too many"),
        (_dropout_added, "1 × Dropout too many"),
        (_batchnorm_left, "norm.scale, .* no layer's weights|1 × BatchNormalization too many"),
        (_activation_removed, "1 × HardSwish missing"),
        (_widened, r"Conv .* missing.*Conv .* too many"),
        (_unread_weight, "supernet.weight, 368,640 numbers that nothing reads"),
        (_dead_node, "nothing reads what Relu dead"),
        (_large_constant, r"large, \d+ numbers that are no layer's weights"),
        (_shifted, "1 × Add too many"),
        (_metadata_added, "holds metadata"),
        (_function_added, "holds metadata, functions"),
        (_bias_dropped, r"has [\d,]+ parameters, the arch [\d,]+"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_is_not_the_arch_is_named(
    network: Network, model: bytes, change: Callable[[ModelProto], None], words: str
) -> None:
    proto = onnx.load_from_string(model)
    change(proto)
    del proto.graph.value_info[:]
    onnx.checker.check_model(proto, full_check=True)  # each is a sound ONNX model
    with pytest.raises(CountError, match=words) as caught:
        check_structure(proto.SerializeToString(), network.graph)
    assert "\n" not in str(caught.value)


def test_another_arch_of_the_space_is_not_this_one(network: Network, chw: tuple[int, int, int]) -> None:
    for layer, choice in list(enumerate(network.choices))[::3]:
        other = list(network.choices)
        other[layer] = choice - 1
        with pytest.raises(CountError, match="isn't the arch"):
            check_structure(onnx_of(Network(network.space, other).eval(), chw), network.graph)


def test_opset_and_ir_version_are_held_against_the_target(model: bytes) -> None:
    target = get_target("onnx-fp32")
    check_versions(model, target)
    for change in ({"opset": 21}, {"ir_version": 11}):
        with pytest.raises(CountError, match="opset and IR version"):
            check_versions(model, target.model_copy(update=change))
