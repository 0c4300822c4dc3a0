"""Latency predictions per second on one core, against the ways of others on the same archs in the same rounds.

OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/predict_speed.py

OFA's way: a dict from strings, joined from the fields of an op, to latencies, and a Python loop over the ops of each
arch (Once-for-All, the look-up tables of its latency predictors). Column-wise: numpy, one ``take`` per layer, in blocks
that stay in the cache (without blocks it is two to three times as slow), choices unchecked.
"""

from __future__ import annotations

import numpy as np
from common import machine, row, side_by_side

from hwnas.arrays import Archs, Values
from hwnas.graph.graph import Op
from hwnas.prediction.costs import LayerSum
from hwnas.prediction.latency import LatencyPredictor
from hwnas.shipped import shipped
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable

ARCHS = 1_000_000
LOOPED = 10_000  # of these, the first; a loop over all would take a minute a run
BLOCK = 8192


def main() -> None:
    space = get_space("scarlet-s2")
    table = LatencyTable.load(next(shipped("latency_tables").glob("*/scarlet-s2-224*.yaml")))
    predictor, keeping = (LatencyPredictor(table, each) for each in (space, space.inheriting()))
    archs = space.sample(ARCHS, seed=0)
    looped = archs[:LOOPED]
    by_key = {_key(op): latency.p50_ms for op, latency in table.ops.items()}
    sums = LayerSum(space, lambda op: table.ops[op].p50_ms)
    for others in (_loop(space, by_key, looped), _column_wise(sums, looped)):
        np.testing.assert_allclose(others, sums(looped), rtol=1e-12)

    calls = {
        "predict": (lambda: predictor(archs), ARCHS),
        "predict, kept stabilizers included": (lambda: keeping(archs), ARCHS),
        f"predict, the loop's {LOOPED:,} archs": (lambda: predictor(looped), LOOPED),
        "a column-wise take, choices unchecked": (lambda: _column_wise(sums, archs), ARCHS),
        "OFA's way, a Python loop over string keys": (lambda: _loop(space, by_key, looped), LOOPED),
    }
    measured = side_by_side({name: call for name, (call, _) in calls.items()}, rounds=7, runs=2)
    print(f"{machine()}, scarlet-s2, batches of {ARCHS:,} archs, 1 thread")
    per_s = {name: count / measured[name].p50_ms * 1e3 for name, (_, count) in calls.items()}
    *_, slowest = per_s
    for name, rate in per_s.items():
        note = f"{rate / 1e6:.3f} million archs/s, {rate / per_s[slowest]:,.0f}× OFA's way"
        print(row(name, measured[name], note))


def _key(op: Op) -> str:
    return "-".join([op.kind, *map(str, vars(op).values())])


def _loop(space: ChainSpace, by_key: dict[str, float], archs: Archs) -> list[float]:
    totals = []
    for choices in archs.tolist():
        total = by_key[_key(space.stem)]
        for layer, choice in zip(space.layers, choices, strict=True):
            op = layer[choice]
            if not op.skips:
                total += by_key[_key(op)]
        totals.append(total + by_key[_key(space.head)])
    return totals


def _column_wise(sums: LayerSum, archs: Archs) -> Values:
    totals = np.full(len(archs), sums.steps.end[0])
    for start in range(0, len(archs), BLOCK):
        for costs, choices in zip(sums.steps.costs[:, :, 0], archs[start : start + BLOCK].T, strict=True):
            totals[start : start + BLOCK] += costs.take(choices)
    return totals


if __name__ == "__main__":
    main()
