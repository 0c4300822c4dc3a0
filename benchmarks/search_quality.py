"""What a search finds per evaluation, on ground truth: share of the exact front's hypervolume on NAS-Bench-Macro.

    python benchmarks/search_quality.py NAS_BENCH_MACRO.json.gz

The file is the published table: {"02012100": {"test_acc": [a, b, c], …}, …}. Objectives: accuracy, and multiply-adds,
which are free. Reference point (45 %, 106 M). Medians of 10 seeds, beside random search and pymoo in the same run.
"""

from __future__ import annotations

import gzip
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from common import machine
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.pm import PolynomialMutation
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.optimize import minimize

from hwnas.predict.lowered import madds
from hwnas.search import Objective, hypervolume, search
from hwnas.space.yaml import get_space

CHECKPOINTS = (100, 150, 200, 300)
SEEDS = range(10)
REFERENCE = np.array([45.0, 106e6])
MAXIMIZE = (True, False)

Values = npt.NDArray[np.float64]


def main(path: Path) -> None:
    warnings.filterwarnings("ignore")
    table = json.loads(gzip.decompress(path.read_bytes()))
    space = get_space("macro")
    accuracy = {tuple(map(int, digits)): float(np.mean(entry["test_acc"])) for digits, entry in table.items()}
    count = madds(space)

    def measured_accuracy(archs: npt.NDArray[np.int64]) -> Values:
        return np.array([accuracy[tuple(arch)] for arch in archs.tolist()])

    everything = np.array(list(accuracy))
    exact = hypervolume(_values(everything, measured_accuracy, count), REFERENCE, MAXIMIZE)
    objectives = [Objective("accuracy", measured_accuracy, maximize=True), Objective("madds", count, free=True)]
    paid = [objectives[0], Objective("madds", count)]

    def ours(strategy: str, free: bool) -> Callable[[int], Values]:
        chosen = objectives if free else paid
        return lambda seed: search(space, chosen, strategy=strategy, evaluations=max(CHECKPOINTS), seed=seed).values

    def theirs(seed: int) -> Values:
        return _pymoo(lambda archs: _values(archs, measured_accuracy, count), seed)

    runs = {
        "hwnas nsga2": ours("nsga2", True),
        "hwnas nsga2, multiply-adds not free": ours("nsga2", False),
        "pymoo NSGA-II": theirs,
        "hwnas random": ours("random", True),
    }
    print(f"{machine()}; share of the exact hypervolume, median (lowest, highest) of {len(SEEDS)} seeds")
    print(f"{'evaluations':<38}" + "".join(f"{n:>24}" for n in CHECKPOINTS))
    for name, run in runs.items():
        shares = np.array(
            [[hypervolume(v[:n], REFERENCE, MAXIMIZE) / exact for n in CHECKPOINTS] for v in map(run, SEEDS)]
        )
        cells = zip(np.median(shares, 0), shares.min(0), shares.max(0), strict=True)
        print(f"{name:<38}" + "".join(f"{m:>10.4f} ({lo:.3f}, {hi:.3f})" for m, lo, hi in cells))


def _values(archs: npt.NDArray[np.int64], *fns: Callable[[npt.NDArray[np.int64]], Values]) -> Values:
    return np.stack([fn(archs) for fn in fns], axis=1)


def _pymoo(values: Callable[[npt.NDArray[np.int64]], Values], seed: int) -> Values:
    """Values in the order of evaluation."""
    seen: list[Values] = []

    class Macro(Problem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(n_var=8, n_obj=2, xl=0, xu=2, vtype=int)

        def _evaluate(self, x: npt.NDArray[np.int64], out: dict[str, Values], *_: object, **__: object) -> None:
            found = values(x.astype(np.int64))
            seen.append(found)
            out["F"] = found * [-1, 1]

    algorithm = NSGA2(
        pop_size=25,
        sampling=IntegerRandomSampling(),
        crossover=UX(),
        mutation=PolynomialMutation(prob_var=1 / 8, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    minimize(Macro(), algorithm, ("n_eval", max(CHECKPOINTS)), seed=seed)
    return np.concatenate(seen)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python benchmarks/search_quality.py NAS_BENCH_MACRO.json.gz")
    main(Path(sys.argv[1]))
