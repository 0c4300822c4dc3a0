"""`search` as people call it: what it promises about evaluations, budgets, seeds, stores and kills."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hwnas.search
from hwnas.errors import InputError, ObjectiveError
from hwnas.search import Budget, Objective, SearchProgress, Store, search
from hwnas.search.objective import Values
from hwnas.space.space import Archs
from hwnas.space.yaml import get_space
from tests.search.problems import MACRO, exact_values, layer_sum, quality_and_cost, quality_cost_objectives, table

_ROOT = Path(__file__).parents[2]
_STRATEGIES = ("nsga2", "random")


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    strategy=st.sampled_from(_STRATEGIES),
    evaluations=st.integers(1, 70),
    free=st.booleans(),
    share=st.floats(0.001, 0.9),
)
def test_promises(seed: int, strategy: str, evaluations: int, free: bool, share: float) -> None:
    objectives = quality_cost_objectives(seed % 100, free)
    at_most = float(np.quantile(exact_values(objectives)[:, 1], share))

    def run(count: int = evaluations) -> Any:
        return search(MACRO, objectives, [Budget("cost_ms", at_most)], strategy, count, seed)

    result = run()
    assert len(np.unique(result.archs, axis=0)) == len(result.archs)  # never an arch twice
    assert len(result.archs) <= evaluations
    if share > 0.05:  # at least 328 archs are within budget
        assert len(result.archs) == evaluations
    np.testing.assert_array_equal(result.values, np.column_stack([o.values(result.archs) for o in objectives]))
    within = result.values[:, 1] <= at_most
    if free:
        assert within.all()

    quality, cost = result.values.T
    better = (quality > quality[:, None]) | (cost < cost[:, None])  # [i, j]: j is better than i in something
    no_worse = (quality >= quality[:, None]) & (cost <= cost[:, None])
    dominated = (within & better & no_worse).any(axis=1)
    expected = np.flatnonzero(within & ~dominated).tolist()
    assert result.front.tolist() == expected

    again, longer = run(), run(evaluations + 13)
    assert again.archs.tobytes() == result.archs.tobytes()
    assert again.values.tobytes() == result.values.tobytes()
    np.testing.assert_array_equal(longer.archs[: len(result.archs)], result.archs)


def test_seeds_differ() -> None:
    one, two = (search(MACRO, quality_cost_objectives(0), evaluations=60, seed=seed).archs for seed in (0, 1))
    assert not np.array_equal(one, two)


def test_a_space_with_barred_choices_and_three_objectives(small_space: Any) -> None:
    costs = [layer_sum(small_space, table(small_space, seed)) for seed in (1, 2)]
    objectives = [
        Objective("quality", lambda archs: (archs**1.5).sum(axis=1), maximize=True),
        *(Objective(f"cost{i}_ms", fn, free=True) for i, fn in enumerate(costs)),
    ]
    budgets = [Budget("cost0_ms", 7.5), Budget("cost1_ms", 7.5)]
    result = search(small_space, objectives, budgets, evaluations=100)
    small_space.check(result.archs)
    assert len(result.archs) == 100
    assert (result.values[:, 1:] <= 7.5).all()


class _Counted:
    """An objective's fn that remembers what it was asked."""

    def __init__(self, fn: Any) -> None:
        self.fn = fn
        self.asked: list[Archs] = []

    def __call__(self, archs: Archs) -> Values:
        self.asked.append(archs)
        values: Values = self.fn(archs)
        return values


def test_what_costs_something_is_asked_one_arch_at_a_time_and_once_each() -> None:
    quality = _Counted(quality_and_cost(0)[0])
    result = search(MACRO, [Objective("q", quality, maximize=True), quality_cost_objectives(0)[1]], evaluations=50)
    assert [archs.shape for archs in quality.asked] == [(1, 8)] * 50
    np.testing.assert_array_equal(np.concatenate(quality.asked), result.archs)


def test_when_all_objectives_are_free_archs_are_counted() -> None:
    fns = [_Counted(fn) for fn in quality_and_cost(0)]
    objectives = [Objective("q", fns[0], maximize=True, free=True), Objective("c_ms", fns[1], free=True)]
    result = search(MACRO, objectives, evaluations=50)
    for fn in fns:
        np.testing.assert_array_equal(np.unique(np.concatenate(fn.asked), axis=0), np.unique(result.archs, axis=0))
    assert len(result.archs) == 50


def test_progress() -> None:
    reports: list[SearchProgress] = []
    result = search(MACRO, quality_cost_objectives(0), evaluations=90, progress=reports.append)
    assert [report.evaluations for report in reports] == [20, 40, 60, 80, 90]
    assert {report.total for report in reports} == {90}
    volumes = [report.hypervolume for report in reports]
    assert volumes == sorted(volumes)
    assert volumes[-1] > volumes[0] > 0
    assert volumes[-1] == pytest.approx(result.to_front(reports[0].reference).hypervolume)


def test_a_store_answers_what_it_knows_in_whatever_order_it_was_filled(tmp_path: Path) -> None:
    plain = search(MACRO, quality_cost_objectives(0), evaluations=60, seed=5)
    fn = _Counted(quality_and_cost(0)[0])
    objectives = [Objective("quality", fn, maximize=True), quality_cost_objectives(0)[1]]
    with Store(tmp_path / "s.db", MACRO, "a") as store:
        known = np.random.default_rng(0).permutation(60)[:40]
        for row in known:
            store.put(plain.archs[row], "quality", plain.values[row, 0], 0.0)
        result = search(MACRO, objectives, evaluations=60, seed=5, store=store)
        assert len(store) == 60
    assert result.values.tobytes() == plain.values.tobytes()
    unknown = np.delete(plain.archs, known, axis=0)
    np.testing.assert_array_equal(np.concatenate(fn.asked), unknown)


def test_a_store_of_another_space_is_refused() -> None:
    with Store.memory(get_space("macro", resolution=64)) as store, pytest.raises(InputError, match="store is of"):
        search(MACRO, quality_cost_objectives(0), store=store)


def test_a_failing_objective_leaves_what_was_evaluated_in_the_store() -> None:
    values = iter([1.0, 2.0, float("nan")])
    objective = Objective("loss", lambda archs: [next(values)])
    with Store.memory(MACRO) as store:
        with pytest.raises(ObjectiveError, match="loss is nan"):
            search(MACRO, [objective], store=store)
        assert len(store) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"strategy": "nsga9"}, "known: guided, nsga2"),
        ({"evaluations": 0}, "evaluations must be"),
        ({"evaluations": 1.5}, "evaluations must be"),
        ({"seed": -1}, "seed must be"),
        ({"seed": "x"}, "seed must be"),
        ({"objectives": []}, "at least one objective"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as error:
        search(**{"space": MACRO, "objectives": quality_cost_objectives(0)} | arguments)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_strategy_of_ones_own_that_repeats_itself_ends() -> None:
    class Stuck:
        def __init__(self, *_: Any) -> None:
            self.told = 0

        def ask(self, count: int) -> Archs:
            return MACRO.sample(3, 0)

        def tell(self, archs: Archs, values: Values) -> None:
            self.told += len(archs)

    assert len(search(MACRO, quality_cost_objectives(0), strategy=Stuck).archs) == 3


def test_the_package_is_the_function_as_well() -> None:
    """`import hwnas.search` puts the package where `hwnas.search(…)` is documented to be a function."""
    result = hwnas.search(MACRO, quality_cost_objectives(0), evaluations=5)
    assert len(result.archs) == 5


_SEARCHER = """
import os, signal, sys
from pathlib import Path
from hwnas.files import to_json
from hwnas.search import Budget, Objective, Store, search
from tests.search.problems import MACRO, quality_and_cost

folder, kill_at = Path(sys.argv[1]), int(sys.argv[2])
quality, cost = quality_and_cost(0)
calls = 0

def slow_quality(archs):
    global calls
    calls += 1
    if calls == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return quality(archs)

objectives = [Objective("quality", slow_quality, maximize=True), Objective("cost_ms", cost, free=True)]
with Store(folder / "s.db", MACRO, "a") as store:
    result = search(MACRO, objectives, [Budget("cost_ms", 50)], evaluations=120, seed=7, store=store)
data = {"front": result.to_front().to_dict(), "archs": result.archs.tolist(), "values": result.values.tolist()}
(folder / "result.json").write_text(to_json(data))
print(calls)
"""


def _run(folder: Path, kill_at: int = 0) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", _SEARCHER, str(folder), str(kill_at)]
    return subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("never")
    assert int(_run(folder).communicate(timeout=60)[0]) == 120
    return (folder / "result.json").read_bytes()


def test_killed_in_an_evaluation_and_resumed_gives_the_same_bytes(tmp_path: Path, never_killed: bytes) -> None:
    for kill_at in (1, 30, 20, 49):  # counted in evaluations of its own life: 0, 29, 19 and 48 get done
        assert _run(tmp_path, kill_at).wait(timeout=60) == -signal.SIGKILL
        assert not (tmp_path / "result.json").exists()
    evaluated = int(_run(tmp_path).communicate(timeout=60)[0])
    assert evaluated == 120 - (29 + 19 + 48)
    assert (tmp_path / "result.json").read_bytes() == never_killed


def test_killed_while_writing_and_resumed_gives_the_same_bytes(tmp_path: Path, never_killed: bytes) -> None:
    """Kills from outside while SQLite's journal is there, that is within a transaction; the first while it begins."""
    journal, unfinished = tmp_path / "s.db-journal", 0
    for life in range(8):
        searcher = _run(tmp_path)
        for pause in (0.002 * life, 0):  # later lives get further
            while not journal.exists() and searcher.poll() is None:
                pass
            time.sleep(pause)
        searcher.kill()
        searcher.communicate()
        unfinished += journal.exists()
    assert unfinished > 0
    assert _run(tmp_path).wait(timeout=60) == 0
    assert (tmp_path / "result.json").read_bytes() == never_killed


def test_importing_it_loads_no_framework() -> None:
    code = "import sys, hwnas.search; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], cwd=_ROOT, text=True).split()
    assert "hwnas.search.driver" in loaded
    assert not {"torch", "onnx", "sklearn", "pymoo", "hwnas.nn"} & set(loaded)
