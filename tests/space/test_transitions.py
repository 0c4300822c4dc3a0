"""The one transition table: networks, sums and maxima read from it, against the graph of each arch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.errors import SpaceError
from hwnas.graph.count import cost, peak_elements
from hwnas.graph.graph import Graph, Op, chain
from hwnas.ops import Stabilizer
from hwnas.prediction.costs import LayerMax, LayerSum
from hwnas.space.chain import ChainSpace
from hwnas.space.ref import SpaceRef
from hwnas.space.registry import get_space
from hwnas.space.space import Decision, Space
from hwnas.space.transitions import Transitions


@given(
    seed=st.integers(0, 10_000), inherits=st.booleans(), name=st.sampled_from(["scarlet-s2", "scarlet-tiny", "macro"])
)
def test_sums_and_maxima_are_those_of_the_graph(seed: int, inherits: bool, name: str) -> None:
    space = get_space(name)
    space = space.inheriting() if inherits else space
    archs = space.sample(3, seed)
    archs[:, ::2] = np.minimum(archs[:, ::2] + 12, space.num_choices[::2] - 1)  # runs of skips
    weights = LayerSum(space, lambda op: cost(op).weights)
    peaks = LayerMax(space, peak_elements)
    for arch, total, peak in zip(archs, weights(archs), peaks(archs), strict=True):
        ops = space.graph(arch).ops
        assert total == sum(cost(op).weights for op in ops)
        assert peak == max(map(peak_elements, ops))


class Wide(Space):
    """A foreign space: each decision is a skip or a 1×1 convolution; the first choice bars a skip right behind it."""

    name = source = "wide"
    in_shape = (4, 2, 2)

    def __init__(self, small: bool = True) -> None:
        self.op = Stabilizer(c_in=4, h_in=2, w_in=2, c_out=4)
        self._small = small

    @property
    def ref(self) -> SpaceRef:
        return SpaceRef(source="wide", resolution=2, classes=4, fingerprint="wide")

    @property
    def decisions(self) -> tuple[Decision, ...]:
        return (Decision(("nothing", "once", "twice")),) * 4

    @property
    def distinct_ops(self) -> tuple[Op, ...]:
        return (self.op,)

    def graph(self, arch: npt.ArrayLike) -> Graph:
        (choices,) = self.check(arch)
        copies = [(f"{i}.{k}", self.op) for i, choice in enumerate(choices) for k in range(choice)]
        return chain((4, 2, 2), (("first", self.op), *copies))

    def transitions(self) -> Transitions | None:
        if not self._small:
            return None
        bundles = tuple(
            tuple((tuple((f"{i}.{k}", self.op) for k in range(choice)),) for choice in range(3)) for i in range(4)
        )
        return Transitions(bundles, np.zeros((4, 3, 1), dtype=np.intp), (), ((("first", self.op),),))


def test_a_space_of_ones_own_is_lowered_from_its_table() -> None:
    space = Wide()
    archs = space.sample(20, 0)
    counted = LayerSum(space, lambda op: 1.0)
    assert counted(archs).tolist() == [len(space.graph(arch)) for arch in archs]
    assert counted(archs).tolist() == (1 + archs.sum(axis=1)).tolist()
    assert [space.transitions().network(arch) for arch in archs] == [  # type: ignore[union-attr]
        tuple((node.place, node.op) for node in space.graph(arch)) for arch in archs
    ]
    assert (space.size, space.num_choices.tolist()) == (81, [3, 3, 3, 3])
    assert space.encode(archs).taken.sum(axis=1).tolist() == [4] * 20
    assert space.inheriting() is space


def test_a_space_without_a_small_state_says_so() -> None:
    with pytest.raises(SpaceError, match="wide has no transitions"):
        LayerSum(Wide(small=False), lambda op: 1.0)


def test_encodings_hold_the_choices_and_the_depth() -> None:
    space = get_space("scarlet-s2")
    archs = np.stack([np.zeros(19, dtype=np.int64), space.num_choices - 1])
    taken, numbers = space.encode(archs)
    assert taken.shape == (2, 19 * 13)
    assert [np.flatnonzero(row).tolist() for row in taken] == [(np.arange(19) * 13 + arch).tolist() for arch in archs]
    assert numbers.tolist() == [[19.0], [6.0]]  # 13 of the layers may be skipped


def test_what_is_inherited_changes_networks_and_no_archs() -> None:
    space = get_space("scarlet-s2")
    kept = space.inheriting()
    assert isinstance(kept, ChainSpace)
    assert kept.fingerprint == space.fingerprint
    assert kept.plain() == space
    assert (kept.sample(5, 1) == space.sample(5, 1)).all()
    arch = [0, 0, 0, 0, 12, *[0] * 14]
    assert [node.place for node in kept.graph(arch) if node not in space.graph(arch).nodes] == ["layers.4", "layers.5"]
