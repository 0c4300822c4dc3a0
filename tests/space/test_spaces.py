"""The built-in spaces: their sizes, indices, barred skips, and the walk."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.arrays import Archs
from hwnas.errors import ArchError, SpaceError
from hwnas.graph.graph import Op
from hwnas.ops.downsample import Downsample
from hwnas.ops.head import Head
from hwnas.ops.mbconv import MBConv
from hwnas.ops.stabilizer import Stabilizer
from hwnas.ops.stem import Stem
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import SPACES, get_space
from hwnas.space.scarlet import released_archs

SIZES = {
    "scarlet-s1": 6**6 * 7**13,
    "scarlet-s2": 12**6 * 13**13,
    "scarlet-tiny": 6**2 * 7**6,
    "macro": 3**8,
    "vit-tiny": 4**2 * 5**6,
}


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_sizes(name: str, size: int) -> None:
    assert get_space(name).size == size


def test_every_named_space_has_its_size_tested() -> None:
    assert set(SPACES.names()) == set(SIZES)


def test_s2_indices_are_kernel_then_expansion_then_se() -> None:
    layer = get_space("scarlet-s2").layers[1]
    for ki, ei, se in itertools.product(range(3), range(2), range(2)):
        op = layer[4 * ki + 2 * ei + se]
        assert isinstance(op, MBConv)
        assert (op.kernel, op.expansion, op.se) == ((3, 5, 7)[ki], (3, 6)[ei], bool(se))
    assert isinstance(layer[12], Stabilizer)


def test_s1_indices_are_kernel_then_expansion() -> None:
    layer = get_space("scarlet-s1").layers[1]
    for ki, ei in itertools.product(range(3), range(2)):
        op = layer[2 * ki + ei]
        assert isinstance(op, MBConv)
        assert (op.kernel, op.expansion, op.se) == ((3, 5, 7)[ki], (3, 6)[ei], False)
    assert isinstance(layer[6], Stabilizer)


def test_macro_choices() -> None:
    space = get_space("macro")
    for index, (identity, small, large) in enumerate(space.layers):
        assert isinstance(identity, Downsample if index in (0, 2, 5) else Stabilizer)
        assert isinstance(small, MBConv)
        assert isinstance(large, MBConv)
        assert (small.kernel, small.expansion, large.kernel, large.expansion) == (3, 3, 5, 6)


def test_skips_only_where_the_shape_stays() -> None:
    space = get_space("scarlet-s2")
    barred = [layer for layer, choices in enumerate(space.layers) if not choices[-1].skips]
    assert barred == [0, 2, 6, 10, 14, 18]
    strided = [layer for layer, choices in enumerate(space.layers) if getattr(choices[0], "stride", 1) == 2]
    assert strided == [0, 2, 6, 14]


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("resolution", [32, 96])
def test_shapes_chain(name: str, resolution: int) -> None:
    """Each Op takes what the one before it gives, for every arch."""
    space = get_space(name, resolution)
    for arch in space.sample(20, seed=0):
        ops = space.graph(arch).ops
        assert ops[0].in_shapes == ((3, resolution, resolution),)
        for first, second in itertools.pairwise(ops):
            assert (first.out_shape,) == second.in_shapes


def test_resolution_must_fit() -> None:
    with pytest.raises(SpaceError, match="at least 32"):
        get_space("scarlet-s2", resolution=31)


def test_a_resolution_between_multiples_of_the_stride_rounds_up() -> None:
    space = get_space("scarlet-s2", resolution=176)
    assert [choices[0].h_in for choices in space.layers][:7:2] == [88, 44, 22, 22]
    assert space.head.h_in == 6  # 176 / 32 = 5.5


def test_unknown_space_names_the_known_ones() -> None:
    with pytest.raises(SpaceError, match="scarlet-s2"):
        get_space("scarlet-s3")


def test_sampling_is_uniform_seeded_and_leaves_global_state() -> None:
    space = get_space("scarlet-s2")
    before = np.random.get_state()[1].copy()  # type: ignore[index]
    archs = space.sample(20_000, seed=3)
    assert np.array_equal(archs, space.sample(20_000, seed=3))
    assert not np.array_equal(archs, space.sample(20_000, seed=4))
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]
    space.check(archs)
    for layer, count in enumerate(space.num_choices):
        share = np.bincount(archs[:, layer], minlength=count) / len(archs)
        assert len(share) == count
        assert np.abs(share - 1 / count).max() < 5 * np.sqrt(1 / count / len(archs))


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ([0] * 18, "19 choices, got 18"),
        ([13] + [0] * 18, "layer 0"),
        ([12] + [0] * 18, "barred at layer 0"),
        ([0] * 18 + [-1], "layer 18"),
        ([0.5] * 19, "integers"),
        (["a"] * 19, "integers"),
    ],
)
def test_wrong_archs(choices: list[object], words: str) -> None:
    with pytest.raises(ArchError, match=words):
        get_space("scarlet-s2").graph(choices)


def test_released_archs_skip_where_the_paper_says() -> None:
    skips = {name: [i for i, c in enumerate(arch) if c == 12] for name, arch in released_archs().items()}
    assert skips == {"scarlet-a": [], "scarlet-b": [8, 16], "scarlet-c": [3, 4, 15]}


def _absorbs_before(op: Op) -> bool:
    return isinstance(op, Head) or (isinstance(op, MBConv) and op.expansion != 1 and not op.residual)


def _absorbs_after(op: Op) -> bool:
    return (isinstance(op, MBConv) and not op.residual) or (isinstance(op, Stem) and op.separable)


def _kept_slowly(space: ChainSpace, arch: list[int]) -> list[int]:
    """The folding rule again, by hand on one arch: a run is kept iff no neighbour absorbs it."""
    kept, layer = [], 0
    ops = [space.layers[i][c] for i, c in enumerate(arch)]
    while layer < len(ops):
        if ops[layer].skips:
            end = layer
            while end < len(ops) and ops[end].skips:
                end += 1
            before = ops[layer - 1] if layer else space.stem
            after = ops[end] if end < len(ops) else space.head
            if not _absorbs_after(before) and not _absorbs_before(after):
                kept.append(layer)
            layer = end
        layer += 1
    return kept


@given(st.lists(st.integers(0, 4), min_size=6, max_size=6))
def test_kept_stabilizers_agree_with_the_rule_by_hand(choices: list[int]) -> None:
    from tests.conftest import SMALL_SPACE  # built here: hypothesis and tmp_path don't mix

    space = _small(SMALL_SPACE)
    arch = np.minimum(choices, space.num_choices - 1)
    assert _kept(space, arch) == _kept_slowly(space, arch.tolist())
    assert not any(op.skips for op in space.graph(arch).ops)


def _kept(space: ChainSpace, arch: Archs) -> list[int]:
    """The layers whose stabilizer a network with inherited weights has."""
    graph = space.inheriting().graph(arch)
    return [int(node.place.removeprefix("layers.")) for node in graph if node.op.skips]


def _small(text: str, cache: dict[str, ChainSpace] = {}) -> ChainSpace:  # noqa: B006  (a cache on purpose)
    import tempfile
    from pathlib import Path

    if text not in cache:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "small.yaml"
            path.write_text(text)
            cache[text] = get_space(str(path))
    return cache[text]


def test_a_residual_on_both_sides_keeps_a_stabilizer() -> None:
    space = get_space("scarlet-s2")
    arch = np.zeros(19, dtype=np.int64)
    arch[4] = 12
    assert _kept(space, arch) == [4]
    arch[3] = 12  # now the run touches layer 2, which has no residual
    assert _kept(space, arch) == []


def test_no_archs_have_no_features() -> None:
    space = get_space("scarlet-tiny")
    some, none = space.encode(space.sample(3, 0)), space.encode(space.sample(0, 0))
    assert [part.shape for part in none] == [(0, *part.shape[1:]) for part in some]
