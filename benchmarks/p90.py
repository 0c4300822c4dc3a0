"""Ways to predict a network's 90th percentile, held against the networks that every shipped table holds for this.

python benchmarks/p90.py [--tables FOLDER]

Measures nothing. Each way is fitted on a table's calibration networks; its error is relative to the mean of both
measurements of each held-out network's p90, "retest" that of one measurement against the other.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas.prediction.calibrate import Networks, count_classes, fit, measured_networks
from hwnas.prediction.costs import LayerSum
from hwnas.prediction.latency import LatencyPredictor
from hwnas.shipped import shipped
from hwnas.tables.table import LatencyTable

Floats = npt.NDArray[np.float64]

FITTED = "ops' medians, fitted on p90"  # what LatencyPredictor(quantile="p90") does
WAYS = (
    FITTED,
    "ops' p90, fitted on p90",
    "p50 × the median of p90 / p50",
    "p50 + root of the sum of squares",
    "ops' p90, added up",
    "p50",
)


def predictions(table: LatencyTable) -> dict[str, Floats]:
    """Each way's p90 of a table's held-out networks, (N,) ms."""
    space = table.get_space()
    known = np.array([network.choices for network in table.networks])
    archs = np.array([first.choices for first, _ in table.held_out])
    p50, p90 = measured_networks(table, space, "p50"), measured_networks(table, space, "p90")
    sum_of_p90 = LayerSum(space, lambda op: table.ops[op].p90_ms)
    squares = LayerSum(space, lambda op: (table.ops[op].p90_ms - table.ops[op].p50_ms) ** 2)
    by_p90 = fit(Networks(sum_of_p90(known), p90.counts, p90.measured_ms))
    median_ms = LatencyPredictor(table, space)(archs)
    ways = (
        LatencyPredictor(table, space, quantile="p90")(archs),
        Networks(sum_of_p90(archs), count_classes(space, archs), median_ms).predicted_ms(by_p90),
        median_ms * np.median(p90.measured_ms / p50.measured_ms),
        median_ms + np.sqrt(squares(archs)),
        sum_of_p90(archs),
        median_ms,
    )
    return dict(zip(WAYS, ways, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, default=shipped("latency_tables"))
    errors: dict[str, list[float]] = {"retest": [], **{way: [] for way in WAYS}}
    paths = sorted(parser.parse_args().tables.rglob("*.yaml"))
    for path in paths:
        table = LatencyTable.load(path)
        first, again = (np.array([pair[copy].p90_ms for pair in table.held_out]) for copy in (0, 1))
        errors["retest"].append(float(np.abs(first / again - 1).mean()))
        for way, predicted_ms in predictions(table).items():
            errors[way].append(float(np.abs(predicted_ms / ((first + again) / 2) - 1).mean()))
    print(
        f"MAPE of p90 over {len(paths)} tables\n\n| prediction | mean | median | worst |\n| --- | ---: | ---: | ---: |"
    )
    for way, values in errors.items():
        print(f"| {way} | {np.mean(values):.2%} | {np.median(values):.2%} | {np.max(values):.2%} |")


if __name__ == "__main__":
    main()
