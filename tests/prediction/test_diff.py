"""Tables against themselves, scaled, reversed and with one op changed: what must come out is known beforehand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from hwnas.errors import TableError
from hwnas.graph.graph import Op
from hwnas.prediction.diff import diff
from hwnas.prediction.latency import LatencyPredictor
from hwnas.space.arch import parse_arch
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.protocol import Provenance
from hwnas.tables.table import Latency, LatencyTable
from tests.tables.make import DEVICE


def _table(space: ChainSpace, ms: Callable[[Op], float]) -> LatencyTable:
    entries = {
        op: Latency(p50_ms=value, p10_ms=value, p90_ms=value, count=1)
        for op, value in ((op, ms(op)) for op in space.distinct_ops)
    }
    made = Provenance(file="made", sha256="0" * 64, format="made", unit="ms", note="")
    return LatencyTable(device=DEVICE, space=space.ref, provenance=made, ops=entries)


def _random_table(space: ChainSpace, seed: int) -> LatencyTable:
    rng = np.random.default_rng(seed)
    return _table(space, lambda _: float(rng.uniform(0.1, 1)))


def test_a_table_and_itself(small_space: ChainSpace) -> None:
    table = _random_table(small_space, seed=0)
    found = diff(table, table, archs=100, seed=0)
    assert (found.ops_a, found.ops_b, found.ops.count) == (len(table.ops),) * 3
    assert (found.ops.spearman, found.ops.kendall) == pytest.approx((1, 1))
    assert (found.ops.ratio, found.ops.ratio_p10, found.ops.ratio_p90) == (1, 1, 1)
    assert found.slower_on_b == found.faster_on_b == ()
    assert found.networks is not None
    assert found.networks.latency.kendall == pytest.approx(1)
    assert (found.networks.flipped, found.networks.flips, found.networks.layers) == (0, (), ())


def test_a_device_twice_as_slow_orders_alike(small_space: ChainSpace) -> None:
    table = _random_table(small_space, seed=0)
    slow = _table(small_space, lambda op: 2 * table.ops[op].p50_ms)
    found = diff(table, slow, archs=100, seed=0)
    assert found.networks is not None
    for agreement in (found.ops, found.networks.latency):
        assert agreement.ratio == pytest.approx(2)
        assert agreement.ratio_p90 == pytest.approx(2)
        assert agreement.spearman == pytest.approx(1)
    assert found.networks.flipped == 0


def test_the_reversed_order_flips_everything(small_yaml: Path) -> None:
    """Every network has as many ops, and what an op costs less on one device it costs more on the other."""
    small_yaml.write_text(small_yaml.read_text().replace("skip: true", "skip: false"))
    space = get_space(str(small_yaml))
    a = _random_table(space, seed=0)
    found = diff(a, _table(space, lambda op: 2 - a.ops[op].p50_ms), archs=200, seed=0)
    assert found.networks is not None
    for agreement in (found.ops, found.networks.latency):
        assert (agreement.spearman, agreement.kendall) == pytest.approx((-1, -1))
    assert found.networks.flipped == 1
    assert len(found.networks.layers) == 6


def test_shares_and_flips_against_all_pairs_by_hand(small_space: ChainSpace) -> None:
    a, b = _random_table(small_space, seed=1), _random_table(small_space, seed=2)
    found = diff(a, b, archs=500, seed=3).networks
    assert found is not None
    archs = np.unique(small_space.sample(500, seed=3), axis=0)
    assert len(archs) < 500
    in_a, in_b = (np.round(LatencyPredictor(table, small_space)(archs), 9) for table in (a, b))
    pairs = [(i, j) for i, j in combinations(range(len(archs)), 2) if in_a[i] != in_a[j] and in_b[i] != in_b[j]]
    flipped = [(i, j) for i, j in pairs if (in_a[i] < in_a[j]) != (in_b[i] < in_b[j])]
    assert found.latency.count == len(archs)
    assert found.flipped == pytest.approx(len(flipped) / len(pairs))
    assert found.latency.kendall == pytest.approx(1 - 2 * found.flipped, abs=1e-3)  # few ties
    sizes = [min(abs(np.log(in_a[i] / in_a[j])), abs(np.log(in_b[i] / in_b[j]))) for i, j in flipped]
    largest = found.flips[0]
    assert min(np.log(largest.a_ms[1] / largest.a_ms[0]), np.log(largest.b_ms[0] / largest.b_ms[1])) == pytest.approx(
        max(sizes)
    )
    assert len({name for flip in found.flips for name in (flip.faster_on_a, flip.faster_on_b)}) == 10
    for flip in found.flips:
        assert flip.a_ms[0] < flip.a_ms[1]
        assert flip.b_ms[0] > flip.b_ms[1]
        for name, ms in zip((flip.faster_on_a, flip.faster_on_b), zip(flip.a_ms, flip.b_ms, strict=True), strict=True):
            choices = parse_arch(name).choices
            for table, said in zip((a, b), ms, strict=True):
                assert said == pytest.approx(sum(table.ops[op].p50_ms for op in small_space.graph(choices).ops))


def test_the_op_that_is_different_is_named(small_space: ChainSpace) -> None:
    odd = small_space.layers[3][2]
    a = _table(small_space, lambda _: 1.0)
    b = _table(small_space, lambda op: 9.0 if op == odd else 3.0)
    found = diff(a, b, archs=50, seed=0)
    assert [(op.op, op.a_ms, op.b_ms, op.relative) for op in found.slower_on_b] == [(str(odd), 1, 9, 3)]
    assert found.faster_on_b == ()
    assert (found.ops.spearman, found.ops.kendall) == (None, None)  # all alike on a
    back = diff(b, a, archs=50, seed=0)
    assert [(op.op, op.relative) for op in back.faster_on_b] == [(str(odd), pytest.approx(1 / 3))]


def test_the_fastest_choice_of_a_layer(small_space: ChainSpace) -> None:
    best_a, best_b = small_space.layers[0][1], small_space.layers[0][2]
    a = _table(small_space, lambda op: 0.5 if op == best_a else 1.0)
    b = _table(small_space, lambda op: 0.25 if op == best_b else 1.0)
    networks = diff(a, b, archs=50, seed=0).networks
    assert networks is not None
    of_layer = {layer.layer: layer for layer in networks.layers}
    assert of_layer[0].fastest_on_a == str(best_a)
    assert of_layer[0].fastest_on_b == str(best_b)
    assert of_layer[0].cost_on_b == 4


def test_other_resolutions_have_ops_in_common_or_none(small_space: ChainSpace) -> None:
    a = _random_table(small_space, seed=0)
    with pytest.raises(TableError, match=r"no op in common: .* at 16 px .* against .* at 32 px"):
        diff(a, _random_table(get_space(small_space.source, resolution=32), seed=0), archs=9, seed=0)
    fewer = replace(a, space=None, ops=dict(list(a.ops.items())[:2]))
    found = diff(a, fewer, archs=9, seed=0)
    assert found.networks is None
    assert (found.ops.count, found.ops.spearman) == (2, None)
    with pytest.raises(TableError, match="an import without a space"):
        diff(_random_table(get_space("macro"), seed=0), fewer, archs=9, seed=0)


def test_one_table_may_be_for_more_than_the_common_space(small_space: ChainSpace) -> None:
    """The other's space is taken when the first isn't covered by both, and when its file is gone."""
    a, tiny = _random_table(small_space, seed=0), _random_table(get_space("scarlet-tiny"), seed=0)
    both = replace(a, ops={**a.ops, **tiny.ops})
    found = diff(both, tiny, archs=9, seed=0).networks
    assert found is not None
    assert found.space == "scarlet-tiny"
    assert a.space is not None
    gone = replace(both, space=a.space.model_copy(update={"source": "gone.yaml"}))
    assert diff(gone, a, archs=9, seed=0).networks is not None


def test_equally_fast_archs_are_not_flipped(small_space: ChainSpace) -> None:
    """Layers that offer the same ops: with choices swapped, two sums differ in their last bits only."""
    a = _random_table(small_space, seed=0)
    found = diff(a, _table(small_space, lambda op: 1.1 * a.ops[op].p50_ms), archs=3000, seed=0).networks
    assert found is not None
    assert (found.flipped, found.flips) == (0, ())


def test_plain_and_repeatable(small_space: ChainSpace) -> None:
    a, b = _random_table(small_space, seed=1), _random_table(small_space, seed=2)
    once, again = (json.dumps(asdict(diff(a, b, archs=3000, seed=5)), allow_nan=False) for _ in range(2))
    assert once == again
    assert once != json.dumps(asdict(diff(a, b, archs=3000, seed=6)), allow_nan=False)
