"""ONNX files: PyTorch's numbers, the exact nodes that the arch has, and nothing of the machine that wrote them."""

from __future__ import annotations

import copy
import re
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from hwnas.errors import ModelError
from hwnas.graph.count import count
from hwnas.graph.graph import chain, expanded
from hwnas.graph.primitives import Activation, Norm, Primitive
from hwnas.nn.inherit import inherit
from hwnas.nn.layers import GraphModule, build, initialize, weights_of
from hwnas.nn.network import Network
from hwnas.nn.released import load_scarlet
from hwnas.nn.supernet import Supernet
from hwnas.onnx.write import to_onnx
from hwnas.records.target import IR_VERSION, OPSET
from hwnas.runtimes.registry import get_runtime
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from tests.nn.weights import lived_in


def written(network: Network) -> bytes:
    return to_onnx(network.graph, weights_of(network))


def run(model: bytes, x: torch.Tensor) -> torch.Tensor:
    session = get_runtime("onnxruntime").load(model, threads=1, precision="fp32")
    return torch.from_numpy(session.run([x.numpy()])[0])


@pytest.mark.parametrize("name", ["small", "scarlet-s2", "macro"])
def test_same_numbers_for_every_batch(name: str, small_space: ChainSpace) -> None:
    space = small_space if name == "small" else get_space(name, 32)
    supernet = lived_in(Supernet(space.inheriting()))
    for arch in space.sample(4, seed=2):
        network = inherit(supernet, arch).eval()
        model = written(network)
        for batch in (1, 3):
            x = torch.randn(batch, 3, space.resolution, space.resolution)
            expected = network(x).detach()
            assert torch.allclose(run(model, x), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_every_op_alone(small_space: ChainSpace) -> None:
    for op in small_space.distinct_ops:
        block = build(op).eval()
        initialize(block, op, torch.Generator().manual_seed(0))
        x = torch.randn(2, *op.in_shapes[0])
        expected = block(x).detach()
        assert tuple(expected.shape[1:]) == op.out_shape
        assert torch.allclose(run(to_onnx(expanded(op), weights_of(block)), x), expected, atol=1e-4)


def test_scarlet_a_has_exactly_its_nodes() -> None:
    model = onnx.load_from_string(written(load_scarlet("scarlet-a")))
    nodes = Counter(node.op_type for node in model.graph.node)
    with_se = 12
    assert nodes == {
        "Conv": 3 + 19 * 3 + with_se * 2 + 1,  # stem, blocks, SE, head; every BN is folded
        "Clip": 3,
        "HardSwish": 19 * 2,
        "Add": 13,
        "GlobalAveragePool": with_se + 1,
        "Relu": with_se,
        "HardSigmoid": with_se,
        "Mul": with_se,
        "Flatten": 1,
        "Gemm": 1,
    }
    assert model.opset_import[0].version == OPSET
    assert model.ir_version == IR_VERSION
    assert [d.dim_param or d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim] == ["batch", 1000]


def test_nothing_of_the_machine_is_inside_and_bytes_repeat(small_space: ChainSpace) -> None:
    network = inherit(lived_in(Supernet(small_space.inheriting())), [0] * 6)
    first, second = (written(network) for _ in range(2))
    assert first == second
    model = onnx.load_from_string(first)
    assert not model.metadata_props
    assert not model.doc_string
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        assert not value.doc_string
        assert not value.metadata_props
    assert (model.producer_name, model.producer_version, model.domain) == ("hwnas", "", "")
    texts = re.findall(rb"[\x20-\x7e]{4,}", b"".join(_without_weights(model)))
    assert texts
    assert not [text for text in texts if b"/" in text or b".py" in text or b"\\" in text]


def _without_weights(model: onnx.ModelProto) -> list[bytes]:
    """Everything in the file but the numbers."""
    model = copy.deepcopy(model)
    for weight in model.graph.initializer:
        weight.raw_data = b""
    return [model.SerializeToString()]


@pytest.mark.parametrize(("opset", "ir_version"), [(14, 7), (17, 8), (OPSET, IR_VERSION), (26, 13)])
def test_versions_asked_for_are_written_and_run(small_space: ChainSpace, opset: int, ir_version: int) -> None:
    network = inherit(lived_in(Supernet(small_space.inheriting())), [1, 3, 0, 2, 4, 1]).eval()
    data = to_onnx(network.graph, weights_of(network), opset=opset, ir_version=ir_version)
    model = onnx.load_from_string(data)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", opset)]
    assert model.ir_version == ir_version
    x = torch.randn(2, 3, 16, 16)
    assert torch.allclose(run(data, x), network(x).detach(), rtol=1e-4, atol=1e-4)


def test_versions_that_cannot_be_had_are_errors() -> None:
    swish = expanded(Activation(shape=(3, 8, 8), act="hswish"))
    for versions, words in (
        ({"opset": 13, "ir_version": 7}, "opset 13 has no HardSwish.*use opset 14 or later"),
        ({"opset": 0}, "not 0"),
        ({"opset": onnx.defs.onnx_opset_version() + 1}, "writes opsets up to"),
        ({"ir_version": onnx.IR_VERSION + 1}, "goes with IR versions"),
        ({"opset": 20, "ir_version": 8}, "opset 20 goes with IR versions 9 to"),
    ):
        with pytest.raises(ModelError, match=words):
            to_onnx(swish, {}, **versions)


def test_the_module_is_left_as_it_was(small_space: ChainSpace) -> None:
    network = inherit(lived_in(Supernet(small_space.inheriting())), [0] * 6).train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    written(network)
    assert network.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


@dataclass(frozen=True, kw_only=True)
class Odd(Primitive):
    """A primitive that nobody can compute."""

    kind: ClassVar[str] = "odd"


def test_a_primitive_that_cannot_be_written_is_an_error() -> None:
    graph = chain((3, 8, 8), (("first", Activation(shape=(3, 8, 8), act="relu")), ("second", Odd(shape=(3, 8, 8)))))
    with pytest.raises(ModelError, match="can't write odd"):
        to_onnx(graph, {})
    with pytest.raises(TypeError, match="no layer is known for 'odd'"):
        GraphModule(graph)
    with pytest.raises(TypeError, match="no formula is known for 'odd'"):
        count(graph)


def test_a_bn_that_no_convolution_takes_in_stays() -> None:
    graph = chain((3, 8, 8), (("act", Activation(shape=(3, 8, 8), act="relu")), ("bn", Norm(shape=(3, 8, 8)))))
    module = GraphModule(graph).eval()
    bn = module.get_submodule("bn")
    assert isinstance(bn, nn.BatchNorm2d)
    with torch.no_grad():
        bn.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
        bn.running_var.fill_(2)  # type: ignore[union-attr]
    x = torch.randn(2, 3, 8, 8)
    assert torch.allclose(run(to_onnx(graph, weights_of(module)), x), module(x).detach(), atol=1e-5)


def test_torchs_own_exporter_agrees(small_space: ChainSpace, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An independent writer of the same network: same multiply-adds' worth of convolutions, same numbers."""
    pytest.importorskip("onnxscript")
    network = inherit(lived_in(Supernet(small_space.inheriting())), [1, 3, 0, 2, 4, 1]).eval()
    x = torch.randn(1, 3, 16, 16)
    program = torch.onnx.export(network, (x,), dynamo=True, verbose=False)
    assert program is not None
    theirs = program.model_proto
    ours = onnx.load_from_string(written(network))
    convs = [[n.op_type for n in m.graph.node].count("Conv") for m in (ours, theirs)]
    assert convs[0] == convs[1]
    np.testing.assert_allclose(
        run(theirs.SerializeToString(), x), run(ours.SerializeToString(), x), rtol=1e-4, atol=1e-5
    )
