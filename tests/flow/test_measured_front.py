"""A front measured for real: all that is said of it fits together, whatever the machine's speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from hwnas.arrays import Archs
from hwnas.cli.search import told
from hwnas.errors import InputError, TableError
from hwnas.flow.measured_front import measurable, measure_front_of
from hwnas.flow.open import BudgetedTable
from hwnas.optimize import Budget, Objective, SearchResult, run_search
from hwnas.optimize.front import Front
from hwnas.optimize.result import settings_of
from hwnas.prediction.calibrate import calibrate
from hwnas.prediction.costs import madds
from hwnas.prediction.latency import LatencyPredictor
from hwnas.profiling.timer import Effort
from hwnas.records.search import MeasuredFront, SearchedTable, SearchRecord
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable, Quantile
from tests.prediction.recording import Recording
from tests.tables.make import measured_table

QUICK = Effort(rounds=6, runs_per_round=2, warmup_runs=1, at_least_s=0, at_most_s=0)


class Outcome(NamedTuple):
    """A search with its measured front, and that front."""

    found: SearchRecord
    front: Front

    @property
    def measured(self) -> MeasuredFront:
        assert self.found.measured is not None
        return self.found.measured


@pytest.fixture(scope="module")
def tiny() -> ChainSpace:
    return get_space("scarlet-tiny", 16, classes=10)


@pytest.fixture(scope="module")
def table(tiny: ChainSpace) -> LatencyTable:
    found = measured_table(tiny, tiny.sample(8, 0), QUICK)
    return calibrate(found, tiny)


def believing(table: LatencyTable, factor: float) -> LatencyTable:
    """A table whose predictions are wrong by a factor."""
    assert table.calibration is not None
    c = table.calibration
    per_op_ms = {name: factor * ms for name, ms in c.per_op_ms.items()}
    update = {"scale": factor * c.scale, "per_op_ms": per_op_ms, "fixed_ms": factor * c.fixed_ms}
    return replace(table, calibration=c.model_copy(update=update))


def quality(archs: Archs) -> np.ndarray:
    return np.log1p(madds(get_space("scarlet-tiny", 16, classes=10))(archs)) + 0.01 * archs.sum(axis=1)


def searched(table: LatencyTable, space: ChainSpace, *, share: float | None, p90: bool = False) -> SearchResult:
    """With a budget that ``share`` of random archs is predicted to meet."""
    predictor = LatencyPredictor(table, space.inheriting())
    objectives = [
        Objective("accuracy", quality, maximize=True),
        Objective("latency_ms", predictor, free=True),
    ]
    if p90:
        slow = LatencyPredictor(table, space.inheriting(), quantile="p90")
        objectives.append(Objective("latency_p90_ms", slow, free=True))
    at_most = None if share is None else float(np.quantile(predictor(space.sample(500, 0)), share))
    budgets = [] if at_most is None else [Budget("latency_ms", at_most)]
    return run_search(space.inheriting(), objectives, budgets, evaluations=25, seed=0)


def measured(
    result: SearchResult,
    tables: Sequence[BudgetedTable],
    predicted: dict[str, tuple[int, Quantile]],
    folder: Path,
    seconds: float = 0.3,
) -> Outcome:
    """What comes of measuring the front of a search whose objectives these tables predict."""
    named = [
        SearchedTable(name=t.name, path=t.path, sha256=t.sha256, device=str(t.table.device), budget_ms=None)
        for t in tables
    ]  # fmt: skip
    found = result.to_record(settings_of(result.problem, "nsga2", 0, tables=named, predicted=predicted))
    return Outcome(*measure_front_of(found, result, tables, folder, seconds=seconds, seed=1))


def of_one_table(result: SearchResult, table: LatencyTable, folder: Path, *, p90: bool = False) -> Outcome:
    predicted: dict[str, tuple[int, Quantile]] = {"latency_ms": (0, "p50")}
    if p90:
        predicted["latency_p90_ms"] = (0, "p90")
    return measured(result, [BudgetedTable("mine", folder / "mine.yaml", table)], predicted, folder)


def check(outcome: Outcome, result: SearchResult, table: LatencyTable, folder: Path) -> None:
    found, front, space = outcome.found, outcome.front, result.problem.space
    assert found.measured is not None
    found.write(folder.parent / "search.json")
    assert SearchRecord.read(folder.parent / "search.json") == found
    refitted = LatencyTable.load(folder / found.measured.objectives[0].table)
    names = [objective.name for objective in result.problem.objectives]
    points = {(p.objective, p.index): p for p in found.measured.points}
    assert len(points) == len(found.measured.points)
    for (objective, index), point in points.items():
        arch = result.archs[index]
        added = next(n for n in refitted.added if n.choices == tuple(arch.tolist()))
        quantile: Quantile = "p90" if "p90" in objective else "p50"
        assert point.measured_ms == getattr(added, f"{quantile}_ms") > 0
        times = [point.measured_p10_ms, point.measured_p50_ms, point.measured_p90_ms]
        assert times == [added.p10_ms, added.p50_ms, added.p90_ms] == sorted(times)
        assert (point.drift, point.confidence_95) == (added.drift, added.confidence_95)
        assert point.predicted_ms == result.values[index, names.index(objective)]
        predictor = LatencyPredictor(refitted, space.inheriting(), quantile=quantile)
        assert point.refitted_ms == pytest.approx(predictor(arch)[0], rel=1e-12)
        assert point.budget_ms == found.budgets.get(objective)
        assert point.within == (point.budget_ms is None or point.measured_ms <= point.budget_ms)
        assert point.on_front == (index in found.front)
        assert point.within or not point.on_front
    measured_once = {index for _, index in points}
    assert set(found.front) - set(found.measured.unmeasured) <= measured_once
    assert found.winner_index is None or found.winner_index in found.front
    assert len(refitted.added) == len(measured_once)
    for each in found.measured.objectives:
        its = found.measured.points_of(each.objective)
        assert each.error_before == pytest.approx(np.mean([abs(p.predicted_ms / p.measured_ms - 1) for p in its]))
        assert each.error_after is not None
        assert 0 < each.error_after < 10
        assert each.confidence_95 == max(p.confidence_95 for p in its)
        assert refitted.calibration is not None
        assert each.error_90 == refitted.calibration.error_90
        poorly = each.confidence_95 > each.error_90
        alone = found.measured.model_copy(update={"objectives": (each,)})
        lines = told(found.model_copy(update={"measured": alone}))
        assert poorly == any("less well than they are predicted" in line for line in lines)
        assert each.drift == pytest.approx(np.median([p.drift for p in its]))
    assert front.archs.tolist() == result.archs[list(found.front)].tolist()
    for index, values in zip(found.front, front.values, strict=True):
        for objective, value in zip(names, values, strict=True):
            if (objective, index) in points:
                assert value == points[objective, index].measured_ms
    front.write(folder.parent / "front.json")
    assert Front.read(folder.parent / "front.json").hypervolume == front.hypervolume == found.hypervolume
    assert all("\n" not in line and "nan" not in line for line in told(found))


@pytest.mark.parametrize("p90", [False, True])
def test_a_front_is_measured_and_its_table_refitted(
    table: LatencyTable, tiny: ChainSpace, tmp_path: Path, p90: bool
) -> None:
    result = searched(table, tiny, share=0.5, p90=p90)
    folder = tmp_path / "search"
    folder.mkdir()
    outcome = of_one_table(result, table, folder, p90=p90)
    check(outcome, result, table, folder)
    assert len(outcome.measured.objectives) == 1 + p90
    assert {p.index for p in outcome.measured.points} >= {result.front[0], result.front[-1]}
    assert sorted(path.name for path in folder.iterdir()) == ["table.yaml"]


def test_what_is_over_budget_when_measured_is_replaced(table: LatencyTable, tiny: ChainSpace, tmp_path: Path) -> None:
    """Predictions are half of what is true: the search went over its budget, the closed front doesn't."""
    wrong = believing(table, 0.5)
    result = searched(wrong, tiny, share=0.5)
    folder = tmp_path / "search"
    folder.mkdir()
    outcome = of_one_table(result, wrong, folder)
    check(outcome, result, wrong, folder)
    over = [p for p in outcome.measured.points if not p.within]
    assert over
    assert {p.index for p in over} & set(result.front.tolist())
    (summary,) = outcome.measured.objectives
    assert summary.error_before > summary.error_after
    assert summary.budget_as_searched_ms < 0.8 * over[0].budget_ms
    assert any("left the front" in line for line in told(outcome.found))


def test_it_says_what_a_cautious_predictor_kept_out(table: LatencyTable, tiny: ChainSpace, tmp_path: Path) -> None:
    cautious = believing(table, 2.0)
    result = searched(cautious, tiny, share=0.5)
    folder = tmp_path / "search"
    folder.mkdir()
    outcome = of_one_table(result, cautious, folder)
    check(outcome, result, cautious, folder)
    budget_ms = outcome.measured.points[0].budget_ms
    assert outcome.measured.objectives[0].budget_as_searched_ms > 1.3 * budget_ms
    assert any("search again" in line for line in told(outcome.found))


def test_nothing_within_budget_is_left_and_said(table: LatencyTable, tiny: ChainSpace, tmp_path: Path) -> None:
    wrong = believing(table, 0.01)
    result = searched(wrong, tiny, share=0.3)
    outcome = of_one_table(result, wrong, tmp_path)
    assert (outcome.found.front, outcome.found.winner) == ((), None)
    assert outcome.front.hypervolume == 0
    assert any("no arch" in line for line in told(outcome.found))


def test_a_second_table_of_this_machine_has_its_own_file(table: LatencyTable, tiny: ChainSpace, tmp_path: Path) -> None:
    result = searched(table, tiny, share=None, p90=True)
    tables = [BudgetedTable(name, Path(f"somewhere/{name}.yaml"), replace(table)) for name in ("a", "b")]
    outcome = measured(
        result, tables, {"latency_ms": (0, "p50"), "latency_p90_ms": (1, "p90")}, tmp_path, seconds=0.2
    )  # fmt: skip
    assert [each.table for each in outcome.measured.objectives] == ["table-a.yaml", "table-b.yaml"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table-a.yaml", "table-b.yaml"]
    assert all(p.budget_ms is None and p.within for p in outcome.measured.points)


def test_only_tables_of_this_machine_are_measured(table: LatencyTable, tiny: ChainSpace, tmp_path: Path) -> None:
    elsewhere = replace(table, device=table.device.model_copy(update={"hardware": "a board"}))
    here, there = (BudgetedTable(n, Path(f"{n}.yaml"), each) for n, each in (("a", table), ("b", elsewhere)))
    assert measurable([there, here]) == [here]
    with pytest.raises(TableError, match=r"b\.yaml: the table is of another device: hardware is a board"):
        measurable([there])
    result = searched(table, tiny, share=None, p90=True)
    predicted: dict[str, tuple[int, Quantile]] = {"latency_ms": (0, "p50"), "latency_p90_ms": (1, "p90")}
    outcome = measured(result, [there, here], predicted, tmp_path, seconds=0.2)
    assert {p.objective for p in outcome.measured.points} == {"latency_p90_ms"}
    assert outcome.front.values[:, 1].tolist() == result.values[list(outcome.found.front), 1].tolist()
    with pytest.raises(InputError, match="another device"):
        measured(result, [there], {"latency_ms": (0, "p50")}, tmp_path / "not made", seconds=0.2)
    assert not (tmp_path / "not made").exists()


def test_networks_that_cannot_be_run_are_reported(
    table: LatencyTable, tiny: ChainSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.flow.measured_front.check_measurable", lambda table: Recording(broken=(0, 2)))
    result = searched(table, tiny, share=0.5)
    folder = tmp_path / "search"
    folder.mkdir()
    outcome = of_one_table(result, table, folder)
    check(outcome, result, table, folder)
    failed = [each.index for each in outcome.measured.failed]
    assert len(failed) == 2
    assert not set(failed) & {*outcome.found.front, *(p.index for p in outcome.measured.points)}
    assert {each.reason for each in outcome.measured.failed} == {"no such kernel"}
    assert sum("can't be run" in line for line in told(outcome.found)) == 2
