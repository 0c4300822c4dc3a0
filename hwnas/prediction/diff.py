"""What two tables disagree about: ops, and the order of whole networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwnas.arrays import Archs, Values
from hwnas.brief import Brief
from hwnas.errors import SpaceError, TableError
from hwnas.prediction.latency import LatencyPredictor
from hwnas.space.arch import Arch
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable

_EXAMPLES = 5
_MOST_PAIRED = 2000  # archs whose pairs are all looked at
_FEWEST_RANKED = 3  # two values are always in perfect order, or in none
_DECIMALS = 9  # of ms: networks of the same ops in another order differ by rounding only, and are equally fast


@dataclass(frozen=True)
class Comparison:
    """How two latencies of the same things compare: of two tables, or predicted and measured.

    Attributes:
        spearman, kendall: rank correlations (Kendall's is τ-b); None for fewer than 3 things or all alike.
        ratio: median of b / a.
        ratio_p10, ratio_p90: its 10th and 90th percentile.
    """

    count: int
    spearman: float | None
    kendall: float | None
    ratio: float
    ratio_p10: float
    ratio_p90: float


@dataclass(frozen=True)
class OpDiff:
    """An op that costs relatively more or less on b; ``relative`` is b / a over the median of all b / a."""

    op: str
    a_ms: float
    b_ms: float
    relative: float


@dataclass(frozen=True)
class Flip:
    """Two archs, one predicted to be faster on each device: what a and b say in ms, the arch faster on a first."""

    faster_on_a: str
    faster_on_b: str
    a_ms: tuple[float, float]
    b_ms: tuple[float, float]


@dataclass(frozen=True)
class LayerDiff:
    """A layer whose fastest choice (skips aside) is another on each device.

    ``cost_on_b`` is how many times as long as b's own best the choice that is fastest on a takes there.
    """

    layer: int
    fastest_on_a: str
    fastest_on_b: str
    cost_on_b: float


@dataclass(frozen=True)
class NetworkDiff:
    """How predictions for random archs of one space compare.

    Attributes:
        latency: of the archs, as both tables predict it (calibrated where a table is).
        flipped: share of the pairs of archs that both tables order, and order differently; None without any.
        flips: pairs that flip the most, by the smaller of their two relative differences.
        layers: where another choice is fastest.
    """

    space: str
    resolution: int
    latency: Comparison
    flipped: float | None
    flips: tuple[Flip, ...]
    layers: tuple[LayerDiff, ...]


@dataclass(frozen=True, repr=False)
class TableDiff(Brief):
    """What two tables disagree about.

    Attributes:
        a, b: the devices.
        ops_a, ops_b: entries of each.
        ops: of the common ones, how their latencies compare.
        slower_on_b, faster_on_b: ops whose relative cost differs the most, the largest difference first.
        networks: of random archs; None when no space is covered by both tables.
    """

    a: str
    b: str
    ops_a: int
    ops_b: int
    ops: Comparison
    slower_on_b: tuple[OpDiff, ...]
    faster_on_b: tuple[OpDiff, ...]
    networks: NetworkDiff | None


def diff(a: LatencyTable, b: LatencyTable, *, archs: int, seed: int) -> TableDiff:
    """Compare two tables (spaces, resolutions and batches may differ): their common ops, and predictions for ``archs``
    random archs of a space that both cover.

    Raises:
        TableError: no op in common.
    """
    common = [op for op in a.ops if op in b.ops]
    if not common:
        made_for = " against ".join(str(table.space or "an import without a space") for table in (a, b))
        raise TableError(
            f"the tables have no op in common: {made_for}; take tables of one space, resolution and number of classes"
        )
    a_ms, b_ms = (np.array([table.ops[op].p50_ms for op in common]) for table in (a, b))
    space = _common_space(a, b)
    relative = b_ms / a_ms / np.median(b_ms / a_ms)
    order = np.argsort(relative, kind="stable")
    unlike = [OpDiff(str(common[i]), float(a_ms[i]), float(b_ms[i]), float(relative[i])) for i in order]
    return TableDiff(
        a=str(a.device),
        b=str(b.device),
        ops_a=len(a.ops),
        ops_b=len(b.ops),
        ops=compare_latencies(a_ms, b_ms),
        slower_on_b=tuple(op for op in reversed(unlike[-_EXAMPLES:]) if op.relative > 1),
        faster_on_b=tuple(op for op in unlike[:_EXAMPLES] if op.relative < 1),
        networks=_networks(a, b, space, space.sample(archs, seed)) if space else None,
    )


def _common_space(a: LatencyTable, b: LatencyTable) -> ChainSpace | None:
    """The space of one of the tables that has all its ops in both."""
    for said in (a.space, b.space):
        try:
            space = get_space(said) if said else None
        except SpaceError:  # a plug-in's that isn't installed here
            continue
        if space and all(op in a.ops and op in b.ops for op in space.distinct_ops if not op.skips):
            return space
    return None


def compare_latencies(a_ms: Values, b_ms: Values) -> Comparison:
    """How latencies in ms of the same things compare: (N,) each, N ≥ 1, all positive."""
    from scipy.stats import kendalltau, spearmanr  # slow to import

    ranked = len(a_ms) >= _FEWEST_RANKED and np.ptp(a_ms) > 0 and np.ptp(b_ms) > 0
    p10, p50, p90 = (float(p) for p in np.percentile(b_ms / a_ms, (10, 50, 90)))
    return Comparison(
        count=len(a_ms),
        spearman=float(spearmanr(a_ms, b_ms).statistic) if ranked else None,
        kendall=float(kendalltau(a_ms, b_ms).statistic) if ranked else None,
        ratio=p50,
        ratio_p10=p10,
        ratio_p90=p90,
    )


def _networks(a: LatencyTable, b: LatencyTable, space: ChainSpace, archs: Archs) -> NetworkDiff:
    archs = archs[np.sort(np.unique(archs, axis=0, return_index=True)[1])]  # each once, where it first is
    a_ms, b_ms = (np.round(LatencyPredictor(table, space)(archs), _DECIMALS) for table in (a, b))
    flipped, flips = _flips(space, archs[:_MOST_PAIRED], a_ms[:_MOST_PAIRED], b_ms[:_MOST_PAIRED])
    return NetworkDiff(
        space=space.name,
        resolution=space.resolution,
        latency=compare_latencies(a_ms, b_ms),
        flipped=flipped,
        flips=flips,
        layers=_layers(a, b, space),
    )


def _flips(space: ChainSpace, archs: Archs, a_ms: Values, b_ms: Values) -> tuple[float | None, tuple[Flip, ...]]:
    first, second = np.triu_indices(len(archs), k=1)
    by_a, by_b = (np.log(ms[first] / ms[second]) for ms in (a_ms, b_ms))
    ordered = (by_a != 0) & (by_b != 0)
    if not ordered.any():
        return None, ()
    flipped = np.flatnonzero(by_a * by_b < 0)
    size = np.minimum(np.abs(by_a[flipped]), np.abs(by_b[flipped]))
    flips: list[Flip] = []
    shown: set[int] = set()
    for pair in flipped[np.argsort(-size, kind="stable")]:
        i, j = (int(first[pair]), int(second[pair])) if by_a[pair] < 0 else (int(second[pair]), int(first[pair]))
        if shown & {i, j}:
            continue  # another arch each time says more
        shown |= {i, j}
        names = [str(Arch(space, tuple(archs[k].tolist()))) for k in (i, j)]
        pairs_ms = [(float(ms[i]), float(ms[j])) for ms in (a_ms, b_ms)]
        flips.append(Flip(names[0], names[1], pairs_ms[0], pairs_ms[1]))
        if len(flips) == _EXAMPLES:
            break
    return float(len(flipped) / ordered.sum()), tuple(flips)


def _layers(a: LatencyTable, b: LatencyTable, space: ChainSpace) -> tuple[LayerDiff, ...]:
    found = []
    for layer, choices in enumerate(getattr(space, "layers", ())):  # a plug-in's space may be no chain of layers
        blocks = [op for op in choices if not op.skips]
        if not blocks:
            continue
        best_a = min(blocks, key=lambda op: a.ops[op].p50_ms)
        best_b = min(blocks, key=lambda op: b.ops[op].p50_ms)
        if best_a != best_b:
            cost_on_b = b.ops[best_a].p50_ms / b.ops[best_b].p50_ms
            found.append(LayerDiff(layer, str(best_a), str(best_b), cost_on_b))
    return tuple(found)
