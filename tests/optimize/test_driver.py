"""`search` as people call it: what it promises about evaluations, budgets, seeds, stores and kills."""

from __future__ import annotations

import itertools
import pickle
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hwnas.optimize
from hwnas.arrays import Archs, Values
from hwnas.errors import InputError, ObjectiveError
from hwnas.optimize import Budget, Objective, SearchProgress, Store, run_search
from hwnas.optimize.strategies.random import RandomSearch
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.workers.base import Done, Failed, Workers, attempt
from tests.optimize.problems import MACRO, exact_values, layer_sum, quality_and_cost, quality_cost_objectives, table

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
        return run_search(MACRO, objectives, [Budget("cost_ms", at_most)], strategy, count, seed)

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
    one, two = (run_search(MACRO, quality_cost_objectives(0), evaluations=60, seed=seed).archs for seed in (0, 1))
    assert not np.array_equal(one, two)


def test_a_space_with_barred_choices_and_three_objectives(small_space: Any) -> None:
    costs = [layer_sum(small_space, table(small_space, seed)) for seed in (1, 2)]
    objectives = [
        Objective("quality", lambda archs: (archs**1.5).sum(axis=1), maximize=True),
        *(Objective(f"cost{i}_ms", fn, free=True) for i, fn in enumerate(costs)),
    ]
    budgets = [Budget("cost0_ms", 7.5), Budget("cost1_ms", 7.5)]
    result = run_search(small_space, objectives, budgets, evaluations=100)
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


@pytest.mark.parametrize("strategy", ["random", "nsga2"])
def test_of_archs_that_are_one_network_one_is_evaluated(strategy: str) -> None:
    class Mirrored(ChainSpace):
        """The last layer's choices 0 and 1 make no difference."""

        def canonical(self, archs: Archs) -> Archs:
            return np.where((np.arange(self.num_layers) == self.num_layers - 1) & (archs == 1), 0, archs)

    space = Mirrored(**{each.name: getattr(MACRO, each.name) for each in fields(MACRO)})
    asked: list[Archs] = []

    def quality(archs: Archs) -> Values:
        asked.append(archs.copy())
        return layer_sum(MACRO, table(MACRO, 0))(archs)

    found = run_search(space, [Objective("quality", quality, maximize=True)], (), strategy, 60, seed=0)
    assert len(found.archs) == 60
    assert 1 not in np.concatenate(asked)[:, -1]
    assert 1 not in found.archs[:, -1]


def test_what_costs_something_is_asked_one_arch_at_a_time_and_once_each() -> None:
    quality = _Counted(quality_and_cost(0)[0])
    result = run_search(MACRO, [Objective("q", quality, maximize=True), quality_cost_objectives(0)[1]], evaluations=50)
    assert [archs.shape for archs in quality.asked] == [(1, 8)] * 50
    np.testing.assert_array_equal(np.concatenate(quality.asked), result.archs)


def test_when_all_objectives_are_free_archs_are_counted() -> None:
    fns = [_Counted(fn) for fn in quality_and_cost(0)]
    objectives = [Objective("q", fns[0], maximize=True, free=True), Objective("c_ms", fns[1], free=True)]
    result = run_search(MACRO, objectives, evaluations=50)
    for fn in fns:
        np.testing.assert_array_equal(np.unique(np.concatenate(fn.asked), axis=0), np.unique(result.archs, axis=0))
    assert len(result.archs) == 50


def test_progress() -> None:
    reports: list[SearchProgress] = []
    result = run_search(MACRO, quality_cost_objectives(0), evaluations=90, progress=reports.append)
    archs = list(range(1, 90))
    assert [report.evaluations for report in reports] == sorted([*archs, 20, 40, 60, 80, 90])  # the last once
    assert {(report.total, report.failed) for report in reports} == {(90, 0)}
    assert reports[19].reference is reports[19].best is None  # of the first batch nothing is known until it is finished
    volumes = [report.hypervolume for report in reports]
    assert volumes == sorted(volumes)
    assert volumes[-1] > volumes[20] > 0 == volumes[19]
    assert volumes[-1] == pytest.approx(result.to_front(reports[20].reference).hypervolume)


def test_progress_knows_the_best_within_budget_and_what_failed() -> None:
    quality, cost = quality_and_cost(0)

    def partly(archs: Archs) -> Values:
        if archs[0, 0] == archs[0, 1] == 1:
            raise RuntimeError("no")
        return quality(archs)

    reports: list[SearchProgress] = []
    objectives = [Objective("quality", partly, maximize=True), Objective("cost_ms", cost)]
    result = run_search(MACRO, objectives, [Budget("cost_ms", 45)], "random", evaluations=90, progress=reports.append)
    within = result.values[result.values[:, 1] <= 45]
    assert reports[-1].best is not None
    assert reports[-1].best.tolist() == within[np.argmax(within[:, 0])].tolist()
    assert reports[-1].failed == len(result.failed) > 0
    assert reports[-1].evaluations == 90


def test_a_store_answers_what_it_knows_in_whatever_order_it_was_filled(tmp_path: Path) -> None:
    plain = run_search(MACRO, quality_cost_objectives(0), evaluations=60, seed=5)
    fn = _Counted(quality_and_cost(0)[0])
    objectives = [Objective("quality", fn, maximize=True), quality_cost_objectives(0)[1]]
    with Store(tmp_path / "s.db", MACRO, "a") as store:
        known = np.random.default_rng(0).permutation(60)[:40]
        other = store.begin("by hand", 0, "", {})
        for row in known:
            other.keep(plain.archs[row], "quality", Done(0, plain.values[row, 0], 0.1, "here"), {})
        result = run_search(MACRO, objectives, evaluations=60, seed=5, store=store)
        assert len(store) == 60
    assert result.values.tobytes() == plain.values.tobytes()
    unknown = np.delete(plain.archs, known, axis=0)
    np.testing.assert_array_equal(np.concatenate(fn.asked), unknown)


def test_a_store_of_another_space_is_refused() -> None:
    with Store.memory(get_space("macro", resolution=64)) as store, pytest.raises(InputError, match="store is of"):
        run_search(MACRO, quality_cost_objectives(0), store=store)


class _Shuffled:
    """Workers who finish in an order of their own, and get everything by post."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Done | Failed]:
        for index in self._rng.permutation(len(items)):
            yield attempt(*pickle.loads(pickle.dumps((function, items[index]))), int(index))

    def close(self) -> None: ...


class _Failing:
    """Raises, returns no number, or the wrong shape, for a share of all archs."""

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, archs: Archs) -> Any:
        (arch,) = archs
        draw = np.random.default_rng(arch.tolist()).random() / self.share
        if draw < 0.4:
            raise RuntimeError(f"no luck\nwith {arch.tolist()}")
        return [float("nan")] if draw < 0.7 else archs if draw < 1 else quality_and_cost(0)[0](archs)


def _partly_failing(share: float) -> list[Objective]:
    return [Objective("quality", _Failing(share), maximize=True), quality_cost_objectives(0)[1]]


@pytest.mark.parametrize("strategy", _STRATEGIES)
def test_what_fails_is_recorded_left_out_and_counted(tmp_path: Path, strategy: str) -> None:
    with Store(tmp_path / "s.db", MACRO, "a") as store:
        result = run_search(MACRO, _partly_failing(0.08), strategy=strategy, evaluations=100, seed=3, store=store)
        assert len(store) == len(result.archs) == 100 - len(result.failed)
        assert 0 < len(result.failed) <= 20
        assert result.to_front().evaluations == 100
        np.testing.assert_array_equal(result.values[:, 0], quality_and_cost(0)[0](result.archs))
        for arch, reason in result.failed:
            assert store.get(arch, "quality") is None
            with pytest.raises((RuntimeError, ObjectiveError)) as error:
                _partly_failing(0.08)[0].values(arch[None])
            told = " ".join(str(error.value).split())
            if error.type is RuntimeError:  # hwnas's own need neither class nor place
                told = f"RuntimeError: {told} (test_driver.py, line {_Failing.__call__.__code__.co_firstlineno + 4})"
            assert reason == told


def test_outcomes_in_any_order_are_one_result(tmp_path: Path) -> None:
    def run(workers: Workers | None) -> tuple[Any, ...]:
        found = run_search(MACRO, _partly_failing(0.08), evaluations=100, seed=3, workers=workers)
        failed = [(arch.tolist(), reason) for arch, reason in found.failed]
        return found.archs.tobytes(), found.values.tobytes(), failed

    assert run(None) == run(_Shuffled(1)) == run(_Shuffled(2))


def test_a_resumed_search_keeps_its_failures_and_another_one_tries_anew(tmp_path: Path) -> None:
    fn = _Counted(_Failing(0.08))
    objectives = [Objective("quality", fn, maximize=True), quality_cost_objectives(0)[1]]

    def run(evaluations: int, resume: bool) -> tuple[int, Any]:
        fn.asked.clear()
        found = run_search(MACRO, objectives, evaluations=evaluations, seed=3, store=store, resume=resume)
        return len(fn.asked), found

    with Store(tmp_path / "s.db", MACRO, "a") as store:
        assert run(60, False)[0] == 60
        asked, resumed = run(100, True)
        assert asked == 40
        assert run(100, True)[0] == 0
        fn.fn = quality_and_cost(0)[0]  # mended
        assert run(100, True)[0] == 0
        asked, anew = run(100, False)
    assert len(resumed.failed) > 0 == len(anew.failed)
    assert asked >= len(resumed.failed)
    plain = run_search(MACRO, quality_cost_objectives(0), evaluations=100, seed=3)
    assert anew.values.tobytes() == plain.values.tobytes()


def test_more_than_a_fifth_of_failures_end_a_search_and_mended_it_goes_on(tmp_path: Path) -> None:
    fn = _Counted(_Failing(0.6))
    objectives = [Objective("quality", fn, maximize=True), quality_cost_objectives(0)[1]]
    with Store(tmp_path / "s.db", MACRO, "a") as store:
        with pytest.raises(ObjectiveError, match=r"^5 of \d+ evaluations failed.*; the latest: .*; mend") as error:
            run_search(MACRO, objectives, evaluations=100, seed=3, store=store)
        assert "\n" not in str(error.value)
        worked, tried = len(store), len(fn.asked)
        assert tried == worked + 5  # the fifth makes it more than a fifth of the 20 of the first batch
        fn.fn = quality_and_cost(0)[0]
        result = run_search(MACRO, objectives, evaluations=100, seed=3, store=store, resume=True)
    assert len(fn.asked) == tried + 100 - worked
    assert len(result.failed) == 0
    plain = run_search(MACRO, quality_cost_objectives(0), evaluations=100, seed=3)
    assert result.values.tobytes() == plain.values.tobytes()


@pytest.mark.parametrize(("evaluations", "bad", "ends"), [(9, 1, False), (9, 2, True), (20, 4, False), (20, 5, True)])
def test_a_fifth_is_judged_of_ten_or_of_all(evaluations: int, bad: int, ends: bool) -> None:
    calls = iter(range(evaluations))

    def fn(archs: Archs) -> list[float]:
        if next(calls) >= evaluations - bad:  # the last ones
            raise RuntimeError("no")
        return [1.0]

    def run() -> Any:
        return run_search(MACRO, [Objective("loss", fn)], evaluations=evaluations)

    if ends:
        with pytest.raises(ObjectiveError, match=f"{bad} of {evaluations} evaluations failed"):
            run()
    else:
        assert len(run().failed) == bad


def test_of_two_objectives_the_first_that_fails_gives_the_reason_and_the_other_is_kept() -> None:
    def boom(archs: Archs) -> Values:
        if archs[0].sum() % 7 == 0:
            raise RuntimeError("boom")
        return quality_and_cost(0)[1](archs)

    objectives = [Objective("a", quality_and_cost(0)[0]), Objective("b", boom), Objective("c", boom)]
    with Store.memory(MACRO) as store:
        result = run_search(MACRO, objectives, evaluations=60, store=store)
        (reason,) = {reason for _, reason in result.failed}
        assert re.fullmatch(r"RuntimeError: boom \(test_driver\.py, line \d+\)", reason)
        assert all(store.get(arch, "a") is not None for arch, _ in result.failed)
        assert len(store) == 3 * len(result.archs) + len(result.failed)


def test_a_free_objective_that_fails_is_an_error_at_once() -> None:
    objectives = [quality_cost_objectives(0)[0], Objective("c_ms", lambda archs: archs[:, 0] * np.nan, free=True)]
    with pytest.raises(ObjectiveError, match="c_ms is nan"):
        run_search(MACRO, objectives, evaluations=20)


def test_interrupts_are_no_failures() -> None:
    def interrupted(archs: Archs) -> Values:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(MACRO, [Objective("loss", interrupted)], evaluations=20)


def test_a_resumed_search_that_takes_another_course_is_refused(tmp_path: Path) -> None:
    class Changed(RandomSearch):
        version = 1

        def ask(self, count: int) -> Archs:
            if self.version == 2:
                self.rng.random()  # as another version of NumPy would
            archs = super().ask(count)
            return archs[::-1] if self.version == 3 else archs

    with Store(tmp_path / "s.db", MACRO, "a") as store:

        def run(evaluations: int, resume: bool = True) -> Archs:
            found = run_search(MACRO, quality_cost_objectives(0), (), Changed, evaluations, 1, store, resume=resume)
            return found.archs

        before = run(80)
        for version in (2, 3):
            Changed.version = version
            with pytest.raises(InputError, match="after 32 evaluations it takes another course") as error:
                run(120)
            assert "\n" not in str(error.value)
        Changed.version = 1
        np.testing.assert_array_equal(run(120)[:80], before)
        Changed.version = 2
        assert not np.array_equal(run(80, resume=False), before)  # another search


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
        run_search(**{"space": MACRO, "objectives": quality_cost_objectives(0)} | arguments)
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

    assert len(run_search(MACRO, quality_cost_objectives(0), strategy=Stuck).archs) == 3


def test_the_package_is_the_function_as_well() -> None:
    """`import hwnas.optimize` puts the package where `hwnas.search(…)` is documented to be a function."""
    result = hwnas.search(MACRO, quality_cost_objectives(0), evaluations=5)
    assert len(result.archs) == 5


_SEARCHER = """
import os, random, signal, sys, time
import numpy as np
from pathlib import Path
from hwnas.files import to_json
from hwnas.optimize import Budget, Objective, Store, run_search
from tests.optimize.problems import MACRO, quality_and_cost

quality, cost = quality_and_cost(0)
calls = kill_at = 0

def slow_quality(archs):
    global calls
    calls += 1
    if calls == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.001)
    if archs[0] @ 3 ** np.arange(8) % 17 == 5:
        raise RuntimeError("no")
    return quality(archs)

def run(folder, strategy):
    objectives = [Objective("quality", slow_quality, maximize=True), Objective("cost_ms", cost, free=True)]
    with Store(folder / "s.db", MACRO, "a") as store:
        result = run_search(MACRO, objectives, [Budget("cost_ms", 50)], strategy, 120, 7, store, resume=True)
    data = {
        "front": result.to_front().plain(), "archs": result.archs.tolist(), "values": result.values.tolist(),
        "failed": [(arch.tolist(), reason) for arch, reason in result.failed],
    }
    (folder / "result.json").write_text(to_json(data))
"""

_ONE_LIFE = """
kill_at = int(sys.argv[3])
run(Path(sys.argv[1]), sys.argv[2])
print(calls)
"""

_TWENTY_LIVES = """
folder, draw, kills = Path(sys.argv[1]), random.Random(1), 0
while kills < 20:
    child = os.fork()  # as a new process, without the second that importing takes
    if not child:
        run(folder, sys.argv[2])
        os._exit(0)
    time.sleep(draw.uniform(0, 0.05))
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status):  # it was faster
        break
    kills += 1
run(folder, sys.argv[2])
print(kills, calls)
"""


def _run(folder: Path, kill_at: int = 0, strategy: str = "nsga2") -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", _SEARCHER + _ONE_LIFE, str(folder), strategy, str(kill_at)]
    return subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    found = {}
    for strategy in _STRATEGIES:
        folder = tmp_path_factory.mktemp(strategy)
        assert int(_run(folder, strategy=strategy).communicate(timeout=60)[0]) == 120
        found[strategy] = (folder / "result.json").read_bytes()
        assert b"RuntimeError: no" in found[strategy]
    return found


@pytest.mark.parametrize("strategy", _STRATEGIES)
def test_killed_at_20_random_moments_and_resumed_gives_the_same_bytes(
    tmp_path: Path, never_killed: dict[str, bytes], strategy: str
) -> None:
    command = [sys.executable, "-c", _SEARCHER + _TWENTY_LIVES, str(tmp_path), strategy]
    said = subprocess.check_output(command, cwd=_ROOT, text=True, timeout=120)
    kills, evaluated_at_last = map(int, said.split())
    assert kills == 20 or evaluated_at_last == 0  # all of them, or the search had ended before
    assert kills >= 5
    assert (tmp_path / "result.json").read_bytes() == never_killed[strategy]


def test_killed_in_an_evaluation_and_resumed_gives_the_same_bytes(
    tmp_path: Path, never_killed: dict[str, bytes]
) -> None:
    for kill_at in (1, 30, 20, 49):  # counted in evaluations of its own life: 0, 29, 19 and 48 get done
        assert _run(tmp_path, kill_at).wait(timeout=60) == -signal.SIGKILL
        assert not (tmp_path / "result.json").exists()
    evaluated = int(_run(tmp_path).communicate(timeout=60)[0])
    assert evaluated == 120 - (29 + 19 + 48)
    assert (tmp_path / "result.json").read_bytes() == never_killed["nsga2"]


def test_killed_while_writing_and_resumed_gives_the_same_bytes(tmp_path: Path, never_killed: dict[str, bytes]) -> None:
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
    assert (tmp_path / "result.json").read_bytes() == never_killed["nsga2"]


def test_two_searches_at_once_share_a_store_and_both_end_right(tmp_path: Path, never_killed: dict[str, bytes]) -> None:
    searchers = {strategy: [] for strategy in _STRATEGIES}
    for number, strategy in enumerate([*_STRATEGIES, *_STRATEGIES]):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        (folder / "s.db").symlink_to(tmp_path / "shared.db")
        searchers[strategy].append((folder, _run(folder, strategy=strategy)))
    for strategy, running in searchers.items():
        for folder, searcher in running:
            assert searcher.wait(timeout=60) == 0
            assert (folder / "result.json").read_bytes() == never_killed[strategy]
    later = tmp_path / "later"
    later.mkdir()
    (later / "s.db").symlink_to(tmp_path / "shared.db")
    assert int(_run(later).communicate(timeout=60)[0]) == 0  # nothing is evaluated twice


def test_importing_it_loads_no_framework() -> None:
    code = "import sys, hwnas.optimize; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], cwd=_ROOT, text=True).split()
    assert "hwnas.optimize.driver" in loaded
    assert not {"torch", "onnx", "sklearn", "pymoo", "hwnas.nn"} & set(loaded)


def test_an_accuracy_that_cannot_be_fails_its_arch(tmp_path: Path) -> None:
    """What an objective gives fails; what a store says, which was altered then, ends the search."""
    given = {0: 1.5, 1: -0.1}

    def accuracy(archs: Archs) -> Values:
        return np.array([given.get(next(calls), 0.5)] * len(archs))

    objectives = [Objective("accuracy", accuracy, maximize=True, within=(0.0, 1.0))]
    calls = itertools.count()
    with Store(tmp_path / "s.db", MACRO, "a") as store:
        found = run_search(MACRO, objectives, evaluations=20, seed=3, store=store)
    assert [reason for _, reason in found.failed] == [
        f"objective accuracy is {value} for arch {','.join(map(str, arch))}, must be 0 to 1"
        for value, (arch, _) in zip(given.values(), found.failed, strict=True)
    ]
    with closing(sqlite3.connect(tmp_path / "s.db")) as database:
        database.execute("UPDATE evaluation SET value = 98.33 WHERE rowid = 7")
        database.commit()
    with (
        Store(tmp_path / "s.db", MACRO, "a") as store,
        pytest.raises(InputError, match=r"the store has 98\.33 as accuracy of arch .*, must be 0 to 1: it was altered"),
    ):
        run_search(MACRO, objectives, evaluations=20, seed=3, store=store, resume=True)
