"""Transformers of hwnas's blocks: PyTorch's own layer, its own counter, ONNX's reference, and DeiT's published size."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hwnas.artifacts.structure import check_structure
from hwnas.errors import CountError, ModelError, SpaceError
from hwnas.graph.count import cost, count, peak_elements
from hwnas.graph.foldable import entry_of, exit_of, is_identity, is_linear
from hwnas.graph.graph import Graph, Op, chain, expanded
from hwnas.nn.layers import GraphModule, build, initialize, weights_of
from hwnas.onnx.write import to_onnx
from hwnas.ops import Identity, Patches, TokenHead, Transformer
from hwnas.runtimes.registry import get_runtime
from tests.foreign_models import VisionTransformer

BLOCK = Transformer(tokens=5, c_in=12, heads=3, head_width=4, mlp_ratio=2.5)
PARTS: list[Op] = [
    *(Patches(c_in=3, h_in=8, w_in=12, c_out=12, patch=4, token=token) for token in (False, True)),
    Patches(c_in=1, h_in=9, w_in=6, c_out=4, patch=3, token=False),  # of an odd size
    BLOCK,
    Transformer(tokens=3, c_in=8, heads=2, head_width=6, mlp_ratio=1),  # wider inside than outside
    *(TokenHead(tokens=5, c_in=12, c_out=7, token=token) for token in (False, True)),
]


def network(*, size: int, patch: int, width: int, depth: int, heads: int, ratio: float, classes: int) -> Graph:
    """ViT with a class token."""
    stem = Patches(c_in=3, h_in=size, w_in=size, c_out=width, patch=patch, token=True)
    tokens = (size // patch) ** 2 + 1
    block = Transformer(tokens=tokens, c_in=width, heads=heads, head_width=width // heads, mlp_ratio=ratio)
    head = TokenHead(tokens=tokens, c_in=width, c_out=classes, token=True)
    blocks = tuple((f"layers.{layer}", block) for layer in range(depth))
    return chain(stem.in_shapes[0], (("stem", stem), *blocks, ("head", head)))


def made(op: Op) -> nn.Module:
    module = build(op).eval()
    initialize(module, op, torch.Generator().manual_seed(0))
    return module


@pytest.mark.parametrize("op", PARTS, ids=str)
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "torch"])
def test_every_runtime_computes_it(op: Op, runtime: str) -> None:
    module, x = made(op), torch.randn(3, *op.in_shapes[0])
    expected = module(x).detach()
    assert tuple(expected.shape[1:]) == op.out_shape
    session = get_runtime(runtime).load(to_onnx(expanded(op), weights_of(module)), threads=1, precision="fp32")
    np.testing.assert_allclose(session.run([x.numpy()])[0], expected, atol=1e-5)


@pytest.mark.parametrize("op", PARTS, ids=str)
def test_the_file_is_what_onnx_says_it_is(op: Op) -> None:
    module, x = made(op), torch.randn(2, *op.in_shapes[0])
    model = onnx.load_from_string(to_onnx(expanded(op), weights_of(module)))
    (found,) = ReferenceEvaluator(model).run(None, {"images": x.numpy()})
    np.testing.assert_allclose(found, module(x).detach(), atol=1e-5)


def test_a_block_is_pytorchs_own() -> None:
    theirs = nn.TransformerEncoderLayer(12, 3, 30, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
    own = theirs.eval().state_dict()
    weights = {"q": 0, "k": 1, "v": 2}
    state = {
        f"attn.{name}.{kind}": own[f"self_attn.in_proj_{kind}"].chunk(3)[index]
        for name, index in weights.items()
        for kind in ("weight", "bias")
    }
    named = {"norm1": "norm1", "norm2": "norm2", "attn.proj": "self_attn.out_proj"}
    named |= {"mlp.fc1": "linear1", "mlp.fc2": "linear2"}
    state |= {f"{ours}.{kind}": own[f"{name}.{kind}"] for ours, name in named.items() for kind in ("weight", "bias")}
    module = build(BLOCK).eval()
    module.load_state_dict(state)
    x = torch.randn(2, 5, 12)
    assert torch.allclose(module(x), theirs(x), atol=1e-5)


def test_deit_tiny_has_its_published_size() -> None:
    """DeiT-Ti/16 (arXiv 2012.12877, table 1: 5 M parameters) as timm counts it; multiply-adds in closed form."""
    deit = {"size": 224, "patch": 16, "width": 192, "depth": 12, "heads": 3, "classes": 1000}
    counted = count(network(**deit, ratio=4))
    n, c, hidden = 197, 192, 768
    block = 4 * n * c * c + 2 * n * n * c + 2 * n * c * hidden
    assert counted.params == 5_717_416
    assert counted.madds == 196 * c * 768 + 12 * block + c * 1000 == 1_253_683_200
    with torch.device("meta"):
        foreign = VisionTransformer(**deit)
        with FlopCounterMode(display=False) as flops:
            foreign(torch.empty(1, 3, 224, 224))
    assert counted.madds == flops.get_total_flops() / 2
    assert counted.params == sum(p.numel() for p in foreign.parameters())


@pytest.mark.parametrize("op", PARTS, ids=str)
def test_pytorchs_counter_agrees(op: Op) -> None:
    module = made(op)
    with FlopCounterMode(display=False) as flops:
        module(torch.randn(1, *op.in_shapes[0]))
    assert cost(op).madds == flops.get_total_flops() / 2
    assert cost(op).params == sum(p.numel() for p in module.parameters())


def test_a_deployed_network_holds_the_class_token_with_its_position() -> None:
    with_token, without = (cost(op) for op in PARTS[:2][::-1])
    assert with_token.params - without.params == 2 * 12
    assert (with_token.biases, without.biases) == (12, 12)
    assert (with_token.floats, without.floats) == (7 * 12, 6 * 12)
    assert (with_token.weights, without.weights) == (12 * 3 * 16, 12 * 3 * 16)


def test_the_peak_of_a_block_is_that_of_attention() -> None:
    """What goes in, query, key, value and its scores are there together: 12 channels, 5 tokens, 3 heads."""
    assert peak_elements(BLOCK) == 60 + 3 * 60 + 3 * 5 * 5


def test_a_written_network_is_checked() -> None:
    small = {"size": 8, "patch": 4, "width": 8, "depth": 2, "classes": 3}
    graph, other = network(**small, heads=2, ratio=2), network(**small, heads=4, ratio=2)
    module = GraphModule(graph).eval()
    for node in graph:
        initialize(module.get_submodule(node.place), node.op, torch.Generator().manual_seed(0))
    model = to_onnx(graph, weights_of(module))
    check_structure(model, graph)
    with pytest.raises(CountError, match="MatMul a value of 4×2×5 at 5 pixels missing"):
        check_structure(model, other)


@pytest.mark.parametrize(("opset", "kind"), [(16, "LayerNormalization"), (19, "Gelu")])
def test_an_opset_too_old_is_named(opset: int, kind: str) -> None:
    with pytest.raises(ModelError, match=rf"opset {opset} has no {kind}, .*use opset \d\d or later"):
        to_onnx(expanded(BLOCK), weights_of(made(BLOCK)), opset=opset, ir_version=9)


def test_the_mean_of_tokens_needs_opset_18() -> None:
    head = TokenHead(tokens=5, c_in=12, c_out=7, token=False)
    to_onnx(expanded(head), weights_of(made(head)), opset=18, ir_version=9)
    with pytest.raises(ModelError, match="opset 17 has no ReduceMean, which pool needs; use opset 18 or later"):
        to_onnx(expanded(head), weights_of(made(head)), opset=17, ir_version=9)


def test_nothing_folds_into_a_block_and_a_skip_is_nothing() -> None:
    assert (entry_of(BLOCK), exit_of(BLOCK), is_linear(BLOCK)) == (None, None, False)
    skip = Identity(shape=(5, 12))
    assert is_identity(skip)
    assert not is_identity(BLOCK)
    assert set(cost(skip)) == {0}
    x = torch.randn(2, 5, 12)
    assert torch.equal(build(skip)(x), x)


def test_wrong_sizes_are_named() -> None:
    with pytest.raises(SpaceError, match="9×8 pixels aren't whole patches of 4; take a multiple"):
        Patches(c_in=3, h_in=9, w_in=8, c_out=12, patch=4, token=False)
