"""Latency predictions per second on one core, against a plain Python loop over string keys.

python benchmarks/predict_speed.py
"""

from __future__ import annotations

from common import machine, row, side_by_side

from hwnas.predict.latency import LatencyPredictor
from hwnas.shipped import shipped
from hwnas.space.yaml import get_space
from hwnas.tables.table import LatencyTable

ARCHS = 1_000_000
LOOPED = 1_000


def main() -> None:
    space = get_space("scarlet-s2")
    table = LatencyTable.load(next(shipped("latency_tables").glob("*/scarlet-s2-224*.yaml")))
    predictor, keeping = (LatencyPredictor(table, space, stabilizers=keep) for keep in (False, True))
    archs = space.sample(ARCHS, seed=0)
    by_name = {str(op): latency.p50_ms for op, latency in table.ops.items()}

    def loop() -> list[float]:
        return [sum(by_name[str(op)] for op in space.lower(arch)) for arch in archs[:LOOPED]]

    calls = {"predict": (lambda: predictor.predict(archs), ARCHS)}
    calls["predict, kept stabilizers included"] = (lambda: keeping.predict(archs), ARCHS)
    calls["a Python loop over string keys"] = (loop, LOOPED)
    measured = side_by_side({name: call for name, (call, _) in calls.items()}, rounds=5, runs=1)
    print(f"{machine()}, scarlet-s2, batches of {ARCHS:,} archs, 1 thread")
    for name, (_, count) in calls.items():
        print(row(name, measured[name], f"{count / measured[name].p50_ms / 1e3:.3f} million archs/s"))


if __name__ == "__main__":
    main()
