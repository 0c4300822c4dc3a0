"""Sums and maxima over layers of a space that is small enough to enumerate, with stabilizers or without."""

from __future__ import annotations

from itertools import product

import numpy as np

from hwnas.arrays import Archs
from hwnas.graph.graph import Op
from hwnas.ops.stem import Stem
from hwnas.prediction.costs import LayerMax, LayerSum
from hwnas.space.chain import Stage, assemble
from hwnas.space.scarlet import mbconv_choices
from hwnas.space.space import Space
from tests.spaces import keeping

SMALL = assemble(
    name="small",
    source="small",
    stem=Stem(c_in=3, h_in=16, w_in=16, c_out=8, width=8, stride=2, separable=False, act="relu6"),
    stages=[Stage(c_out=8, layers=2, stride=1), Stage(c_out=12, layers=3, stride=2)],
    choices=mbconv_choices((3, 5), (1, 2), (False,), "hswish", skip=True),
    head_width=24,
    classes=10,
    act="relu6",
)
"""Five layers, 2,500 archs; skips fold forward, back, into the head, or stay behind a stem that takes none in."""

ALL_SMALL: Archs = np.array(list(product(*(range(count) for count in SMALL.num_choices))), dtype=np.int64)


def random_sum(seed: int, *, kind: str = "real", stabilizers: bool = True, space: Space = SMALL) -> LayerSum:
    """A sum with a random cost for each op: ``real``, ``tenths`` (many ties, none of them exact) or ``whole``."""
    rng = np.random.default_rng(seed)
    costs: dict[Op, float] = {}
    for op in space.distinct_ops:
        costs[op] = float(rng.uniform(0.1, 1) if kind == "real" else rng.integers(1, 12))
    if kind == "tenths":
        costs = {op: cost / 10 for op, cost in costs.items()}
    return LayerSum(keeping(space, stabilizers), costs.__getitem__)


def random_max(seed: int) -> LayerMax:
    """The largest of random costs in tenths, one for each op; stem and head cost least."""
    rng = np.random.default_rng(seed)
    costs = {op: float(rng.integers(1, 30)) / 10 for op in SMALL.distinct_ops}
    costs |= {SMALL.stem: 0.1, SMALL.head: 0.1}
    return LayerMax(SMALL.inheriting(), costs.__getitem__)
