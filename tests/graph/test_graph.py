"""Graphs: what they refuse, how blocks are taken apart, which linear neighbours fold."""

from __future__ import annotations

import pytest

from hwnas.errors import SpaceError
from hwnas.graph.draft import Draft
from hwnas.graph.foldable import Exit, entry_of, exit_of, is_linear, norm_behind, residual_ends_of
from hwnas.graph.graph import Graph, Node, Op, chain, expanded
from hwnas.graph.primitives import Activation, Add, Conv, Multiply, Norm, Pool
from hwnas.ops import Downsample, Head, MBConv, Stabilizer, Stem, Transformer
from hwnas.space.registry import SPACES, get_space

SHAPE = (8, 4, 4)
BLOCK = {"c_in": 8, "h_in": 4, "w_in": 4, "kernel": 3, "act": "relu"}


def conv(kernel: int = 1, groups: int = 1) -> Conv:
    return Conv(shape=SHAPE, c_out=8, kernel=kernel, stride=1, groups=groups, bias=False)


def mbconv(c_out: int, expansion: float = 2, stride: int = 1, se: bool = False) -> MBConv:
    return MBConv(c_out=c_out, expansion=expansion, stride=stride, se=se, **BLOCK)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("nodes", "outputs", "words"),
    [
        ((Node("a", conv(), ("input",)), Node("a", conv(), ("input",))), ("a",), "two nodes called 'a'"),
        ((Node("a", conv(), ("b",)), Node("b", conv(), ("input",))), ("a",), "reads 'b', which isn't there"),
        ((Node("a", conv(), ("input", "input")),), ("a",), "takes"),
        ((Node("p", Pool(shape=SHAPE), ("input",)), Node("a", conv(), ("p",))), ("a",), "goes in"),
        ((Node("a", conv(), ("input",)),), ("z",), "output 'z' isn't there"),
    ],
)
def test_what_is_no_graph(nodes: tuple[Node, ...], outputs: tuple[str, ...], words: str) -> None:
    with pytest.raises(SpaceError, match=words):
        Graph((SHAPE,), nodes, outputs)


def test_a_gate_is_one_number_a_channel() -> None:
    draft = Draft(SHAPE)
    with pytest.raises(SpaceError, match="goes in"):
        draft.graph(draft.multiply("mul", draft.input, draft.input))


def test_blocks_are_taken_apart_under_their_places() -> None:
    block = mbconv(8, se=True)
    graph = chain(SHAPE, (("layers.3", block), ("layers.5", Stabilizer(c_in=8, h_in=4, w_in=4, c_out=8)))).expanded
    names = [node.place for node in graph]
    assert names[0] == "layers.3.conv1"
    assert "layers.3.mid_se.squeeze_conv" in names
    assert names[-1] == "layers.5"  # an op of one primitive lies at its own place
    assert graph.nodes[-1].inputs == ("layers.3.add",)
    add = graph["layers.3.add"]
    assert isinstance(add, Add)
    assert next(node for node in graph if node.op == add).inputs == ("input", "layers.3.bn3")
    assert graph.outputs == ("layers.5",)


@pytest.mark.parametrize("name", SPACES.names())
def test_shapes_follow_one_another_through_every_network(name: str) -> None:
    space = get_space(name)
    for arch in space.sample(5, seed=0):
        for each in (space, space.inheriting()):
            graph = each.graph(arch)
            assert graph.out_shape == graph.expanded.out_shape == (space.classes,)
            assert graph.in_shapes == (space.in_shape,)


def test_only_the_primitives_that_compute_it_decide_what_folds() -> None:
    """The rules by hand: into a first 1×1 convolution without residual, out of a last one without residual."""
    plain, residual = mbconv(12), mbconv(8)
    assert (entry_of(plain), exit_of(plain)) == ("conv1", Exit("conv3", "bn3"))
    assert (entry_of(residual), exit_of(residual)) == (None, None)
    assert entry_of(mbconv(12, expansion=1)) is None  # begins with the depthwise convolution
    assert residual_ends_of(residual) == ("bn3",)
    assert residual_ends_of(plain) == ()
    attending = Transformer(tokens=4, c_in=8, heads=2, head_width=4, mlp_ratio=2)
    assert (entry_of(attending), exit_of(attending)) == (None, None)
    assert residual_ends_of(attending) == ("attn.proj", "mlp.fc2")
    down = Downsample(c_in=8, h_in=4, w_in=4, c_out=16, stride=2)
    assert (entry_of(down), exit_of(down)) == ("conv", Exit("conv", "bn"))
    head = Head(c_in=8, h_in=4, w_in=4, c_out=10, width=32, act="relu")
    assert (entry_of(head), exit_of(head)) == ("conv.0", None)
    for separable, found in ((True, Exit("separable.3", "separable.4")), (False, None)):
        stem = Stem(c_in=3, h_in=8, w_in=8, c_out=8, width=8, stride=2, separable=separable, act="relu")
        assert (entry_of(stem), exit_of(stem)) == (None, found)


def test_skips_and_what_only_changes_the_shape_are_linear() -> None:
    skip = Stabilizer(c_in=8, h_in=4, w_in=4, c_out=8)
    assert is_linear(skip)
    assert is_linear(Downsample(c_in=8, h_in=4, w_in=4, c_out=16, stride=2))
    assert not is_linear(mbconv(8))
    assert skip.skips
    assert skip.starts_as_identity


def test_a_bn_folds_only_where_nothing_else_reads_the_convolution() -> None:
    draft = Draft(SHAPE)
    first = draft.conv("conv", draft.input, 8)
    seen_twice = draft.graph(draft.add("add", draft.norm("bn", first), first))
    assert norm_behind(seen_twice, seen_twice.nodes[0]) is None
    graph = chain(SHAPE, (("conv", conv()), ("bn", Norm(shape=SHAPE)), ("act", Activation(shape=SHAPE, act="relu"))))
    assert norm_behind(graph, graph.nodes[0]) == graph.nodes[1]
    assert norm_behind(graph, graph.nodes[1]) is None


def test_primitives_are_ops_of_files_too() -> None:
    for op in (conv(3, groups=8), Multiply(shape=SHAPE), Pool(shape=SHAPE)):
        plain = {**op.to_dict(), "shape": list(SHAPE)}  # as JSON has it
        assert Op.from_dict(plain) == op
        assert expanded(op).nodes == (Node("", op, expanded(op).inputs),)
    with pytest.raises(SpaceError, match="shape must be positive sizes"):
        Op.from_dict({"kind": "pool", "shape": [8, 0, 4]})
    with pytest.raises(SpaceError, match="shape must be Shape, got 3"):
        Op.from_dict({"kind": "pool", "shape": 3})
