"""Two models beside each other: planted faults are found where they are, and what is the same is called the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

import hwnas
from hwnas.errors import ConfigError, DataError, InputError, ModelError
from hwnas.nn.model_folder import save_model
from hwnas.onnx.model import OnnxModel, port_of
from hwnas.onnx.observe import node_by_node
from hwnas.onnx.stand_in import stand_in
from hwnas.records.diff import DiffRecord
from tests.artifacts.conftest import Copy, Shipped, copy, shipped  # noqa: F401
from tests.flow.diff_models import IMAGES, SIDE, WIDTH, Chain, File


def opened(name: str, data: bytes) -> OnnxModel:
    """What reading a file gives, without the process of its own that infers shapes."""
    graph = onnx.load_from_string(data).graph
    return OnnxModel(name, data, *(tuple(map(port_of, ports)) for ports in (graph.input, graph.output)))


def diff(a: bytes, b: bytes, **how: Any) -> DiffRecord:
    return hwnas.diff(opened("a", a), opened("b", b), **how)


@st.composite
def faults(draw: st.DrawFn) -> tuple[Chain, int, str]:
    depth = draw(st.integers(1, 6))
    return (
        Chain(depth, draw(st.integers(0, 99))),
        draw(st.integers(0, depth - 1)),
        draw(st.sampled_from(["", "other."])),
    )


@given(faults(), st.sampled_from([0.5, 1.01, -1, 3]), st.booleans())
@settings(max_examples=25, deadline=None)
def test_an_altered_weight_is_found_at_its_layer(fault: tuple[Chain, int, str], factor: float, folded: bool) -> None:
    chain, layer, prefix = fault
    found = diff(chain.onnx(), chain.onnx(prefix=prefix, folded=folded, filters={layer: factor}))
    assert found.first is not None
    assert found.first.b.node == f"{prefix}conv{layer}"
    assert all(value.within for value in found.before)
    assert bool(found.before) == (layer > 0)


@given(faults(), st.sampled_from(["LeakyRelu", "HardSwish", "Sigmoid"]))
@settings(max_examples=15, deadline=None)
def test_another_activation_is_found_where_it_is(fault: tuple[Chain, int, str], act: str) -> None:
    chain, layer, prefix = fault
    found = diff(chain.onnx(), chain.onnx(prefix=prefix, acts={layer: act}))
    assert found.first is not None
    assert found.first.b.node == f"{prefix}act{layer}"
    assert found.first.b.op == act


@given(st.integers(0, 99), st.integers(1, 6), st.booleans(), st.sampled_from(["", "other."]))
@settings(max_examples=15, deadline=None)
def test_a_rewritten_graph_is_the_same(seed: int, depth: int, folded: bool, prefix: str) -> None:
    chain = Chain(depth, seed)
    found = diff(chain.onnx(), chain.onnx(prefix=prefix, folded=folded))
    assert found.same
    assert found.b.alone == ()
    assert found.a.alone == tuple(f"conv{layer}" for layer in range(depth) if folded)


def scales(chain: Chain) -> dict[int, float]:
    """Of values that fill 8 bits."""
    model = opened("chain", chain.onnx())
    rng = np.random.default_rng(0)
    runs = list(node_by_node(model.proto, [{"images": stand_in(model.inputs[0], rng)} for _ in range(4)]))
    return {layer: max(run[f"act{layer}"].max() for run in runs) / 255 for layer in range(chain.depth)}


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("prefix", ["", "other."])
@pytest.mark.parametrize("layer", [0, 2, 3])
def test_a_wrong_scale_is_found_at_its_quantization(layer: int, prefix: str, folded: bool) -> None:
    chain = Chain(4)
    right = scales(chain)
    found = diff(chain.onnx(), chain.onnx(prefix=prefix, folded=folded, scales=right))
    assert (found.same, found.b.precision, found.relative) == (True, "int8", 0.5)
    assert {value.b.op for value in found.values} >= {"DequantizeLinear"}
    found = diff(chain.onnx(), chain.onnx(prefix=prefix, folded=folded, scales=right | {layer: right[layer] / 8}))
    assert found.first is not None
    assert (found.first.b.node, found.first.a.node) == (f"{prefix}dq{layer}", f"act{layer}")


@pytest.mark.parametrize("layer", [0, 3])
def test_an_overflow_in_fp16_is_found_where_it_begins(layer: int) -> None:
    chain = Chain(4)
    fine = diff(chain.onnx(), chain.onnx(dtype=np.float16))
    assert (fine.same, fine.b.precision, fine.b.first_not_finite) == (True, "fp16", None)
    large = {layer: 3e4}  # the weights themselves still fit
    found = diff(chain.onnx(filters=large), chain.onnx(filters=large, dtype=np.float16))
    assert found.first is not None
    assert found.b.first_not_finite is not None
    assert found.first.b == found.b.first_not_finite
    assert found.first.b.node == f"conv{layer}"
    assert (found.first.max_relative, found.a.first_not_finite) == (None, None)
    assert found.worst.max_relative is None


def two(prefix: str = "", *, swapped: bool = False, factor: float = 1) -> bytes:
    """Takes an image and indices, gives a map and the index of its largest channel."""
    file = File(prefix)
    looked_up = file.add(
        "Gather", "embedded", file.weight("table", np.arange(20).reshape(5, 4) * factor), f"{prefix}ids"
    )
    summed = file.add(
        "Add", "sum", f"{prefix}x", file.add("Reshape", "rows", looked_up, file.weight("as", [1, 4, 1, 1], np.int64))
    )
    file.add("Relu", "map", summed)
    file.add("ArgMax", "best", f"{prefix}map", axis=1, keepdims=0)
    inputs: dict[str, tuple[int | str, ...]] = {f"{prefix}x": (1, 4, 3, 3), f"{prefix}ids": (1,)}
    outputs = [f"{prefix}map", f"{prefix}best"]
    kinds = {f"{prefix}ids": TensorProto.INT64, f"{prefix}best": TensorProto.INT64}
    return file.model(dict(reversed(inputs.items())) if swapped else inputs, outputs, kinds)


def test_several_inputs_and_outputs() -> None:
    found = diff(two(), two(swapped=True))
    assert found.same
    assert {"map", "best"} <= {value.b.value for value in found.values}
    assert diff(two(), two("other.")).same
    found = diff(two(), two("other.", factor=-1))
    assert found.first is not None
    assert found.first.b.node == "other.embedded"
    assert diff(two(), two(), inputs=None, feeds=1).values[0].sqnr_db is None


def channels_last(*, factor: float = 1) -> bytes:
    """Layer 0 of a chain for images (1, H, W, C), its activation between transposes."""
    chain, file = Chain(1), File("nhwc.")
    weights = chain.weights(0)
    weights["kernel"][1] *= factor
    kernel, bias = (file.weight(name, weights[name]) for name in ("kernel", "bias"))
    value = file.add("Transpose", "in", "pixels", perm=[0, 3, 1, 2])
    value = file.add(
        "Transpose", "back", file.add("Conv", "conv", value, kernel, bias, pads=[1] * 4), perm=[0, 2, 3, 1]
    )
    file.add("Relu", "act", file.add("Mul", "scaled", value, file.weight("two", 2)))
    return file.model({"pixels": (1, SIDE, SIDE, WIDTH)}, ["nhwc.act"])


def channels_first() -> bytes:
    chain, file = Chain(1), File()
    weights = chain.weights(0)
    kernel, bias = (file.weight(name, weights[name]) for name in ("kernel", "bias"))
    value = file.add("Conv", "conv", "images", kernel, bias, pads=[1] * 4)
    file.add("Relu", "act", file.add("Mul", "scaled", value, file.weight("two", 2)))
    return file.model({"images": IMAGES}, ["act"])


def test_other_layouts() -> None:
    found = diff(channels_first(), channels_last())
    assert found.same
    assert found.b.alone == ()
    pairs = {value.b.node: value.a.node for value in found.values}
    assert pairs["nhwc.act"] == "act"
    assert pairs["nhwc.scaled"] == "scaled"
    assert pairs["nhwc.back"] == "conv"
    found = diff(channels_first(), channels_last(factor=2))
    assert found.first is not None
    assert found.first.b.node == "nhwc.conv"


def test_differences_are_those_of_the_values() -> None:
    chain = Chain(2)
    a, b = chain.onnx(), chain.onnx(filters={1: 1.5})
    found = diff(a, b, feeds=3, seed=7)
    value = next(each for each in found.values if each.b.node == "norm1")
    rng = np.random.default_rng(7)
    feeds = [{"images": rng.standard_normal(IMAGES, dtype=np.float32)} for _ in range(3)]
    x, y = (np.stack([run["norm1"] for run in node_by_node(onnx.load_from_string(each), feeds)]) for each in (a, b))
    assert value.max_abs == pytest.approx(np.abs(x - y).max())
    assert value.max_relative == pytest.approx(np.abs(x - y).max() / np.abs(x).max())
    signal = np.square(x - x.mean(axis=0)).sum() / np.square(x - y).sum()
    assert value.sqnr_db == pytest.approx(10 * np.log10(signal), abs=1e-3)


def test_inputs_of_a_file(tmp_path: Path) -> None:
    chain = Chain(2)
    images = np.random.default_rng(0).normal(size=(5, *IMAGES[1:]))
    np.savez(tmp_path / "in.npz", images=images)
    found = diff(chain.onnx(), chain.onnx(), inputs=tmp_path / "in.npz")
    assert (found.feeds, found.inputs) == (5, str(tmp_path / "in.npz"))
    dead = np.zeros(IMAGES) - 1e9  # all that is told apart by weights of layer 1 is behind a dead activation
    np.savez(tmp_path / "dead.npz", images=dead)
    assert diff(chain.onnx(), chain.onnx(filters={0: 3}), inputs=tmp_path / "dead.npz", feeds=1).feeds == 1


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_runtime_as_the_difference(runtime: str) -> None:
    chain = Chain(3)
    found = diff(chain.onnx(), chain.onnx(), runtime_b=runtime)
    assert found.same
    assert found.b.runtime == runtime
    assert found.b.alone == ()
    found = diff(chain.onnx(), chain.onnx(filters={1: 1.1}), runtime_b=runtime)
    assert found.first is not None
    assert "conv1" in found.first.b.node
    assert diff(two(), two(), runtime_a=runtime, runtime_b=runtime).same


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "torch"])
def test_an_artifact_on_each_runtime(runtime: str, shipped: Shipped) -> None:  # noqa: F811
    found = hwnas.diff(shipped.path, shipped.path, runtime_b=runtime)
    assert found.same
    assert found.feeds == 8
    assert len(found.values) > 10


def test_the_ir_of_an_artifact(copy: Copy, shipped: Shipped) -> None:  # noqa: F811
    found = hwnas.diff(shipped.network, copy.path / "openvino-fp32.xml")
    assert found.same
    assert (found.b.runtime, found.b.alone) == ("openvino", ())
    weights = bytearray((copy.path / "openvino-fp32.bin").read_bytes())
    at = weights.index(np.float32(_weight(copy.path / "onnx-fp32.onnx", "layers.2.conv1.weight").flat[0]).tobytes())
    weights[at : at + 4] = np.float32(5).tobytes()
    copy.replace("openvino-fp32.bin", bytes(weights))
    found = hwnas.diff(shipped.path, copy.path / "openvino-fp32")
    assert found.first is not None
    assert found.first.b.value == "layers.2.conv1"


def _weight(path: Path, name: str) -> Any:
    return next(onnx.numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer if each.name == name)


def test_a_model_and_its_artifact(shipped: Shipped, tmp_path: Path) -> None:  # noqa: F811
    save_model(shipped.network, tmp_path / "model")
    found = hwnas.diff(tmp_path / "model", shipped.path)
    assert found.same
    assert (found.a.runtime, found.feeds) == ("torch", 8)
    assert found.b.alone == ()
    assert hwnas.diff(shipped.path / "onnx-fp32.onnx", tmp_path / "model").same
    assert hwnas.diff(shipped.path / "onnx-fp32", tmp_path / "model", runtime_b="onnxruntime").same


def test_a_fault_in_an_artifact(copy: Copy, shipped: Shipped, tmp_path: Path) -> None:  # noqa: F811
    save_model(shipped.network, tmp_path / "model")
    proto = onnx.load(copy.path / "onnx-fp32.onnx")
    weight = next(each for each in proto.graph.initializer if each.name == "layers.1.conv1.weight")
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * np.float32(1.1), weight.name))
    copy.replace("onnx-fp32.onnx", proto.SerializeToString())
    found = hwnas.diff(tmp_path / "model", copy.path)
    assert found.first is not None
    assert found.first.b.node == "layers.1.conv1"


def test_sizes_that_files_leave_open(tmp_path: Path) -> None:
    for prefix in ("", "other."):
        file = File(prefix)
        file.add("Relu", "out", f"{prefix}x")
        (tmp_path / f"{prefix}onnx").write_bytes(file.model({f"{prefix}x": (1, "c", "h")}, [f"{prefix}out"]))
    shapes = {"x": (1, 2, 3), "other.x": (1, 2, 3)}
    assert hwnas.diff(tmp_path / "onnx", tmp_path / "other.onnx", shapes=shapes).same
    with pytest.raises(ModelError, match=r"fix the sizes, as --shape other\.x="):
        hwnas.diff(tmp_path / "onnx", tmp_path / "other.onnx", shapes={"x": (1, 2, 3)})


def test_a_network_and_a_module_in_python(shipped: Shipped) -> None:  # noqa: F811
    found = hwnas.diff(shipped.network, shipped.path)
    assert found.same
    assert found.a.runtime == "torch"


def _wrong(folder: Path) -> list[tuple[type[InputError], str, dict[str, object]]]:
    (folder / "text.npz").write_text("hello")
    np.savez(folder / "other.npz", pixels=np.zeros(IMAGES))
    np.savez(folder / "small.npz", images=np.zeros((1, WIDTH, 2, 2)))
    np.savez(folder / "words.npz", images=np.array(["x"]))
    return [
        (DataError, "can't be read as an .npz", {"inputs": folder / "text.npz"}),
        (DataError, "can't read", {"inputs": folder / "none.npz"}),
        (DataError, "no array for the input images; it has pixels", {"inputs": folder / "other.npz"}),
        (DataError, "1x4x2x2, the model takes float32 1x4x6x6", {"inputs": folder / "small.npz"}),
        (DataError, "images", {"inputs": folder / "words.npz"}),
        (ConfigError, "a tolerance is a share", {"tolerance": 0.0}),
        (ConfigError, "a tolerance is a share", {"tolerance": float("nan")}),
        (InputError, "feeds must be an integer from 1", {"feeds": 0}),
        (InputError, "no runtime 'onnxrutime'; did you mean 'onnxruntime'", {"runtime_b": "onnxrutime"}),
        (ConfigError, "runtime tensorrt-rtx doesn't show", {"runtime_b": "tensorrt-rtx"}),
        (ModelError, "no input 'pixels'.* known: images", {"shapes": {"pixels": (1, 2)}}),
    ]


def test_what_makes_no_sense_is_told(tmp_path: Path) -> None:
    chain = Chain(1).onnx()
    for error, says, how in _wrong(tmp_path):
        with pytest.raises(error, match=says) as caught:
            diff(chain, chain, **how)
        assert "\n" not in str(caught.value)


def test_models_that_cannot_be_compared() -> None:
    chain = Chain(1).onnx()
    with pytest.raises(ModelError, match=r"different inputs: a images float32 1x4x6x6; b x float32 1x4x3x3"):
        diff(chain, two())
    with pytest.raises(ModelError, match="outputs logits and act are of shapes"):
        diff(chain, channels_first())
