"""`StrategyContract`: what hwnas relies on in a search strategy."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hwnas.arrays import Archs, Values
from hwnas.optimize.feasible import FeasibleRegion
from hwnas.optimize.problem import Budget, Objective, Problem
from hwnas.optimize.strategies import StrategyFactory
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space

Fails = Callable[[int], bool]
"""How many archs were asked for before -> whether this one's evaluation fails."""

_MACRO = get_space("macro")
_ALL_MACRO: Archs = np.indices((3,) * 8, dtype=np.int64).reshape(8, -1).T


def _sum(space: ChainSpace, seed: int) -> Callable[[Archs], Values]:
    """A number per layer and choice, 1 for the first, added up over the layers."""
    per_choice = np.random.default_rng(seed).uniform(1, 5, (space.num_layers, int(space.num_choices.max())))
    per_choice[:, 0] = 1
    layers = np.arange(space.num_layers)
    return lambda archs: np.asarray(per_choice[layers, archs].sum(axis=1))


def _problem(free: tuple[bool, ...], space: ChainSpace = _MACRO, budget: tuple[int, float] | None = None) -> Problem:
    """A quality to maximise and costs to minimise, ``free`` saying of each whether it costs nothing."""
    objectives = [
        Objective(f"objective{index}", _sum(space, index), maximize=index == 0, free=is_free)
        for index, is_free in enumerate(free)
    ]
    budgets = () if budget is None else (Budget(objectives[budget[0]].name, budget[1]),)
    return Problem(space, tuple(objectives), budgets)


PROBLEMS = {
    "a free cost": _problem((False, True)),
    "nothing is free": _problem((False, False)),
    "all is free": _problem((True, True)),
    "one objective": _problem((False,)),
    "four objectives": _problem((False, True, False, True)),
    "a budget on a free cost": _problem((False, True), budget=(1, 16)),
    "a budget on a cost that isn't": _problem((False, False), budget=(1, 16)),
    "layers with fewer choices": _problem((False, True), space=get_space("scarlet-s2")),
}
"""Everything that tells searches apart for a strategy; all but the last on the 6,561 archs of macro."""

FAILURES: dict[str, Fails] = {
    "all": lambda index: True,
    "all at first": lambda index: index < 50,
    "every third": lambda index: index % 3 == 0,
}


class StrategyContract:
    """What :class:`hwnas.optimize.strategies.Strategy` promises, on small problems.

    Attributes:
        evaluations: how many archs are proposed in each test that isn't about the end of a space.
    """

    evaluations: int = 100

    @pytest.fixture
    def strategy(self) -> StrategyFactory:
        """What makes the strategy to test; override this."""
        raise NotImplementedError("override the fixture 'strategy'")

    @pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
    def test_proposes_feasible_archs_once_each(self, strategy: StrategyFactory, problem: Problem) -> None:
        archs = _run(strategy, problem, self.evaluations)
        assert len(archs) == len(np.unique(archs, axis=0)) == self.evaluations
        assert FeasibleRegion(problem).contains(problem.space.check(archs)).all()

    @pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
    def test_how_many_are_asked_for_at_a_time_changes_nothing(
        self, strategy: StrategyFactory, problem: Problem
    ) -> None:
        """A search asks for as many as it still needs, so a longer one begins with the shorter one."""
        expected = _run(strategy, problem, self.evaluations)
        for at_a_time in (1, 7):
            archs = _run(strategy, problem, self.evaluations, at_a_time=at_a_time)
            np.testing.assert_array_equal(archs, expected)
        shorter = _run(strategy, problem, self.evaluations // 3)
        np.testing.assert_array_equal(shorter, expected[: len(shorter)])

    @pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
    def test_all_random_draws_come_from_its_generator(self, strategy: StrategyFactory, problem: Problem) -> None:
        before = random.getstate(), np.random.get_state(legacy=False)["state"]
        archs = _run(strategy, problem, self.evaluations, seed=1)
        assert random.getstate() == before[0]
        np.testing.assert_equal(np.random.get_state(legacy=False)["state"], before[1])
        assert _run(strategy, problem, self.evaluations, seed=1).tobytes() == archs.tobytes()
        assert _run(strategy, problem, self.evaluations, seed=2).tobytes() != archs.tobytes()

    @pytest.mark.parametrize("fails", FAILURES.values(), ids=FAILURES)
    @pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
    def test_copes_with_failed_evaluations(self, strategy: StrategyFactory, problem: Problem, fails: Fails) -> None:
        archs = _run(strategy, problem, self.evaluations, fails=fails)
        assert len(archs) == len(np.unique(archs, axis=0)) == self.evaluations
        assert FeasibleRegion(problem).contains(archs).all()
        one_by_one = _run(strategy, problem, self.evaluations, at_a_time=1, fails=fails)
        np.testing.assert_array_equal(one_by_one, archs)

    @pytest.mark.parametrize("fails", [lambda index: False, *FAILURES.values()], ids=["none", *FAILURES])
    @pytest.mark.parametrize("at_most", [8, 9.9, 11.5])
    def test_proposes_all_of_what_is_feasible_and_ends(
        self, strategy: StrategyFactory, at_most: float, fails: Fails
    ) -> None:
        problem = _problem((False, True), budget=(1, at_most))  # 8 has the one arch that is cheapest everywhere
        feasible = _ALL_MACRO[FeasibleRegion(problem).contains(_ALL_MACRO)]
        archs = _run(strategy, problem, len(feasible) + 100, fails=fails)
        assert len(archs) == len(feasible)
        np.testing.assert_array_equal(np.unique(archs, axis=0), feasible)

    def test_a_space_of_one_arch(self, strategy: StrategyFactory) -> None:
        space = replace(_MACRO, layers=tuple(choices[:1] for choices in _MACRO.layers))
        np.testing.assert_array_equal(_run(strategy, _problem((False, True), space), 10), np.zeros((1, 8)))

    @pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
    def test_maximising_is_minimising_the_negative(self, strategy: StrategyFactory, problem: Problem) -> None:
        budgeted = {budget.objective_name for budget in problem.budgets}
        negatives = tuple(o if o.name in budgeted else _negative(o) for o in problem.objectives)
        expected = _run(strategy, problem, self.evaluations)
        np.testing.assert_array_equal(
            _run(strategy, replace(problem, objectives=negatives), self.evaluations), expected
        )


def _negative(objective: Objective) -> Objective:
    return replace(objective, fn=lambda archs: -np.asarray(objective.fn(archs)), maximize=not objective.maximize)


def _not_to_be_called(archs: Archs) -> Values:
    raise AssertionError("a strategy doesn't evaluate: this objective isn't free")


def _run(
    make: StrategyFactory,
    problem: Problem,
    count: int,
    seed: int = 0,
    at_a_time: int | None = None,
    fails: Fails = lambda index: False,
) -> Archs:
    """The first ``count`` archs that a strategy proposes, fewer if it ends: (≤ count, L)."""
    guarded = replace(
        problem, objectives=tuple(o if o.free else replace(o, fn=_not_to_be_called) for o in problem.objectives)
    )
    strategy = make(guarded, FeasibleRegion(guarded), np.random.default_rng(seed))
    archs = np.empty((0, problem.space.num_layers), dtype=np.int64)
    while len(archs) < count:
        wanted = min(at_a_time or count, count - len(archs))
        asked = strategy.ask(wanted)
        if not len(asked):
            assert not len(strategy.ask(wanted)), "it ended, and went on"
            break
        assert asked.dtype == np.int64
        assert asked.shape == (len(asked), problem.space.num_layers)
        assert len(asked) <= wanted
        works = np.array([not fails(len(archs) + row) for row in range(len(asked))])
        told = asked[works]
        strategy.tell(told, np.column_stack([objective.values(told) for objective in problem.objectives]))
        archs = np.concatenate([archs, asked])
    return archs
