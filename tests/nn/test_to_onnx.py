"""ONNX files: PyTorch's numbers, the exact nodes that the arch has, and nothing of the machine that wrote them."""

from __future__ import annotations

import copy
import re
from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from hwnas.errors import ModelError
from hwnas.nn.blocks import build, initialize
from hwnas.nn.derive import derive, load_scarlet
from hwnas.nn.supernet import Supernet
from hwnas.onnx.opset import IR_VERSION, OPSET
from hwnas.onnx.write import to_onnx
from hwnas.runtimes.registry import get_runtime
from hwnas.space.registry import get_space
from hwnas.space.space import Space
from tests.nn.test_derive import lived_in


def run(model: bytes, x: torch.Tensor) -> torch.Tensor:
    session = get_runtime("onnxruntime").load(model, threads=1, precision="fp32")
    return torch.from_numpy(session.run(x.numpy()))


@pytest.mark.parametrize("name", ["small", "scarlet-s2", "macro"])
def test_same_numbers_for_every_batch(name: str, small_space: Space) -> None:
    space = small_space if name == "small" else get_space(name, 32)
    supernet = lived_in(Supernet(space))
    for arch in space.sample(4, seed=2):
        network = derive(supernet, arch).eval()
        model = to_onnx(network, (3, space.resolution, space.resolution))
        for batch in (1, 3):
            x = torch.randn(batch, 3, space.resolution, space.resolution)
            expected = network(x).detach()
            assert torch.allclose(run(model, x), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_every_op_alone(small_space: Space) -> None:
    for op in small_space.distinct_ops:
        block = build(op).eval()
        initialize(block, torch.Generator().manual_seed(0))
        x = torch.randn(2, op.c_in, op.h_in, op.w_in)
        expected = block(x).detach()
        assert tuple(expected.shape[1:]) in (op.out_shape, op.out_shape[:1])
        assert torch.allclose(run(to_onnx(block, x.shape[1:]), x), expected, atol=1e-4)  # type: ignore[arg-type]


def test_scarlet_a_has_exactly_its_nodes() -> None:
    model = onnx.load_from_string(to_onnx(load_scarlet("scarlet-a"), (3, 224, 224)))
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


def test_nothing_of_the_machine_is_inside_and_bytes_repeat(small_space: Space) -> None:
    network = derive(lived_in(Supernet(small_space)), [0] * 6)
    first, second = (to_onnx(network, (3, 16, 16)) for _ in range(2))
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
def test_versions_asked_for_are_written_and_run(small_space: Space, opset: int, ir_version: int) -> None:
    network = derive(lived_in(Supernet(small_space)), [1, 3, 0, 2, 4, 1]).eval()
    data = to_onnx(network, (3, 16, 16), opset=opset, ir_version=ir_version)
    model = onnx.load_from_string(data)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", opset)]
    assert model.ir_version == ir_version
    x = torch.randn(2, 3, 16, 16)
    assert torch.allclose(run(data, x), network(x).detach(), rtol=1e-4, atol=1e-4)


def test_versions_that_cannot_be_had_are_errors() -> None:
    swish = nn.Hardswish()
    for versions, words in (
        ({"opset": 13, "ir_version": 7}, "opset 13 has no HardSwish.*use opset 14 or later"),
        ({"opset": 0}, "not 0"),
        ({"opset": onnx.defs.onnx_opset_version() + 1}, "writes opsets up to"),
        ({"ir_version": onnx.IR_VERSION + 1}, "goes with IR versions"),
        ({"opset": 20, "ir_version": 8}, "opset 20 goes with IR versions 9 to"),
    ):
        with pytest.raises(ModelError, match=words):
            to_onnx(swish, (3, 8, 8), **versions)


def test_the_module_is_left_as_it_was(small_space: Space) -> None:
    network = derive(lived_in(Supernet(small_space)), [0] * 6).train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    to_onnx(network, (3, 16, 16))
    assert network.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


@pytest.mark.parametrize(
    "module",
    [nn.Sequential(nn.Conv2d(3, 3, 1), nn.GELU()), nn.Sequential(nn.AdaptiveAvgPool2d(2)), nn.BatchNorm2d(3)],
)
def test_a_layer_that_cannot_be_written_is_an_error(module: nn.Module) -> None:
    with pytest.raises(ModelError, match="can't write layer"):
        to_onnx(module, (3, 8, 8))


def test_a_function_that_cannot_be_written_is_an_error() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sin(x)

    with pytest.raises(ModelError, match="sin"):
        to_onnx(Odd(), (3, 8, 8))


def test_torchs_own_exporter_agrees(small_space: Space, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An independent writer of the same network: same multiply-adds' worth of convolutions, same numbers."""
    pytest.importorskip("onnxscript")
    network = derive(lived_in(Supernet(small_space)), [1, 3, 0, 2, 4, 1]).eval()
    x = torch.randn(1, 3, 16, 16)
    program = torch.onnx.export(network, (x,), dynamo=True, verbose=False)
    assert program is not None
    theirs = program.model_proto
    ours = onnx.load_from_string(to_onnx(network, (3, 16, 16)))
    convs = [[n.op_type for n in m.graph.node].count("Conv") for m in (ours, theirs)]
    assert convs[0] == convs[1]
    np.testing.assert_allclose(
        run(theirs.SerializeToString(), x), run(ours.SerializeToString(), x), rtol=1e-4, atol=1e-5
    )
