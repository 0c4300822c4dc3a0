"""pymoo's and Optuna's optimisers on a space: each evaluates at most so many different archs, in its own order."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import optuna
from optuna.study import StudyDirection
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.pm import PolynomialMutation
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.optimize import minimize

from hwnas.arrays import Archs
from hwnas.space.chain import ChainSpace

Values = npt.NDArray[np.float64]
Evaluate = Callable[[Archs], Values]
"""archs (N, L) -> (N, K) values in the objectives' own signs"""

_TRIALS_PER_ARCH = 2
"""Samplers of Optuna propose archs again; these cost them nothing, but end somewhere."""

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def pymoo_nsga2(space: ChainSpace, evaluate: Evaluate, maximize: Sequence[bool], evaluations: int, seed: int) -> Values:
    """(N, K) values in the order of evaluation; population 25, integers crossed uniformly, no duplicates."""
    seen: list[Values] = []

    class OfSpace(Problem):  # type: ignore[misc]
        def __init__(self) -> None:
            upper = space.num_choices - 1
            super().__init__(n_var=space.num_layers, n_obj=len(maximize), xl=0, xu=upper, vtype=int)

        def _evaluate(self, x: npt.NDArray[np.int64], out: dict[str, Values], *_: object, **__: object) -> None:
            found = evaluate(x.astype(np.int64))
            seen.append(found)
            out["F"] = np.where(maximize, -found, found)

    algorithm = NSGA2(
        pop_size=25,
        sampling=IntegerRandomSampling(),
        crossover=UX(),
        mutation=PolynomialMutation(prob_var=1 / space.num_layers, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    minimize(OfSpace(), algorithm, ("n_eval", evaluations), seed=seed)
    return np.concatenate(seen)[:evaluations]


def optuna_sampler(
    make: Callable[[int], optuna.samplers.BaseSampler],
    space: ChainSpace,
    evaluate: Evaluate,
    maximize: Sequence[bool],
    evaluations: int,
    seed: int,
) -> Values:
    """(N, K) values of the different archs in the order of evaluation; ``make`` turns a seed into a sampler."""
    directions = [StudyDirection.MAXIMIZE if larger else StudyDirection.MINIMIZE for larger in maximize]
    study = optuna.create_study(directions=directions, sampler=make(seed))
    found: dict[tuple[int, ...], Values] = {}
    for _ in range(_TRIALS_PER_ARCH * evaluations):
        if len(found) == evaluations:
            break
        trial = study.ask()
        counts = enumerate(space.num_choices.tolist())
        arch = tuple(trial.suggest_int(f"layer {layer}", 0, count - 1) for layer, count in counts)
        if arch not in found:
            found[arch] = evaluate(np.array([arch], dtype=np.int64))[0]
        study.tell(trial, found[arch].tolist())
    return np.array(list(found.values()))
