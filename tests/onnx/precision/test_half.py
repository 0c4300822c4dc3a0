"""fp16 graphs: what would overflow stays fp32, everything else doesn't, and nothing becomes infinite."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import nn

from hwnas.errors import ModelError
from hwnas.nn.network import Network
from hwnas.onnx.precision.half import LIMIT, beyond_half, to_half
from hwnas.runtimes.registry import get_runtime
from hwnas.space.chain import ChainSpace
from tests.onnx_models import onnx_of

IMAGES = np.random.default_rng(0).standard_normal((6, 3, 16, 16), dtype=np.float32)


def run(model: bytes) -> np.ndarray:
    return get_runtime("onnxruntime").load(model, threads=1, precision="fp32").run([IMAGES])[0]


@pytest.fixture
def network(small_space: ChainSpace) -> Network:
    return Network(small_space, [1] * small_space.num_layers).eval()


def loud(network: Network, block: int, gain: float) -> bytes:
    """``network`` with a block's values up to ``gain``² times as large, until its last convolution takes it back."""
    layers = [layer for layer in network.get_submodule("layers").children() if hasattr(layer, "bn1")]
    with torch.no_grad():
        layers[block].bn1.weight *= gain  # type: ignore[union-attr, operator]
        layers[block].bn2.weight *= gain  # type: ignore[union-attr, operator]
        layers[block].conv3.weight /= gain**2  # type: ignore[union-attr, operator]
    return onnx_of(network, (3, 16, 16))


def precisions(model: bytes) -> dict[str, int]:
    """Element type of every node's result."""
    proto = onnx.shape_inference.infer_shapes(onnx.load_from_string(model), strict_mode=True, data_prop=True)
    types = {v.name: v.type.tensor_type.elem_type for v in (*proto.graph.value_info, *proto.graph.output)}
    return {node.name: types[node.output[0]] for node in proto.graph.node}


def test_what_overflows_stays_in_fp32_and_gives_pytorchs_numbers(network: Network) -> None:
    model = loud(network, 1, 1e3)
    expected = network(torch.from_numpy(IMAGES)).detach().numpy()
    # ONNX Runtime's CPU provider would not show it: it computes fp16 in fp32, and leaves out the casts in between
    assert not copy.deepcopy(network).half()(torch.from_numpy(IMAGES).half()).isfinite().all()
    kept = beyond_half(model, [[IMAGES]])
    half = to_half(model, kept)
    onnx.checker.check_model(onnx.load_from_string(half), full_check=True)
    result = run(half)
    assert np.linalg.norm(result - expected) < 1e-2 * np.linalg.norm(expected)
    found = precisions(half)
    nodes = [node.name for node in onnx.load_from_string(model).graph.node]
    assert 0 < len(kept) < len(nodes) / 2
    for name in nodes[:-1]:
        assert found[name] == (TensorProto.FLOAT if name in kept else TensorProto.FLOAT16)


def test_the_nodes_kept_are_those_that_pytorch_sees_overflow(network: Network) -> None:
    model = loud(network, 1, 1e3)
    block = [name for name, _ in network.get_submodule("layers").named_children()][1]
    reached: dict[str, float] = {}

    def watch(name: str) -> object:
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            reached[name] = max(float(x.detach().abs().max()) for x in (*inputs, output))

        return hook

    for name, module in network.named_modules():
        if not list(module.children()):
            module.register_forward_hook(watch(name))  # type: ignore[arg-type]
    network(torch.from_numpy(IMAGES))
    kept = set(beyond_half(model, [[IMAGES]]))
    assert {f"layers.{block}.conv2", f"layers.{block}.act2", f"layers.{block}.conv3"} <= kept
    for name, largest in reached.items():
        if name.endswith(("act1", "act2", "pool")):  # no BN in between: modules as nodes
            assert (name in kept) == (largest > LIMIT)


def test_a_quiet_network_keeps_nothing(network: Network) -> None:
    model = onnx_of(network, (3, 16, 16))
    assert beyond_half(model, [[IMAGES]]) == []
    assert to_half(model, []) == to_half(model)
    assert TensorProto.FLOAT not in set(list(precisions(to_half(model)).values())[:-1])


def test_a_weight_beyond_fp16_keeps_its_node(network: Network) -> None:
    proto = onnx.load_from_string(onnx_of(network, (3, 16, 16)))
    weight = next(w for w in proto.graph.initializer if w.name.endswith("conv1.weight"))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + np.float32(1e5), weight.name))
    model = proto.SerializeToString()
    kept = beyond_half(model, [[IMAGES]])
    assert weight.name.removesuffix(".weight") in kept
    assert np.isfinite(run(to_half(model, kept))).all()


def test_logits_beyond_fp16_stay_fp32_to_the_end(network: Network) -> None:
    with torch.no_grad():
        network.head.classifier.weight *= 1e7  # type: ignore[union-attr, operator]
    model = onnx_of(network, (3, 16, 16))
    expected = run(model)
    assert np.abs(expected).max() > 65504
    half = to_half(model, beyond_half(model, [[IMAGES]]))
    assert [node.op_type for node in onnx.load_from_string(half).graph.node][-1] == "Gemm"
    assert np.linalg.norm(run(half) - expected) < 1e-2 * np.linalg.norm(expected)


def test_a_network_that_overflows_fp32_is_refused(network: Network) -> None:
    with torch.no_grad():
        network.head.classifier.bias[0] = torch.inf  # type: ignore[union-attr, index]
    with pytest.raises(ModelError, match=r"isn't finite in fp32: .* reaches inf"):
        beyond_half(onnx_of(network, (3, 16, 16)), [[IMAGES]])
