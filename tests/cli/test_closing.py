"""A search closed with real measurements: all that is said of it fits together, whatever the machine's speed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwnas.arrays import Archs
from hwnas.cli.closing import Closed, Predicted, close_search, measurable, told
from hwnas.cli.tables import TableOption
from hwnas.errors import InputError, TableError
from hwnas.files import to_json
from hwnas.optimize import Budget, Objective, SearchResult, search
from hwnas.optimize.front import Front
from hwnas.prediction.calibrate import calibrate
from hwnas.prediction.latency import LatencyPredictor
from hwnas.prediction.lowered import madds
from hwnas.profiling.timer import Effort
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable
from tests.prediction.recording import Recording
from tests.tables.make import measured_table

QUICK = Effort(rounds=6, runs_per_round=2, warmup_runs=1, at_least_s=0, at_most_s=0)


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
        objectives.append(Objective("latency_p90_ms", slow.predict, free=True))
    at_most = None if share is None else float(np.quantile(predictor(space.sample(500, 0)), share))
    budgets = [] if at_most is None else [Budget("latency_ms", at_most)]
    return search(space, objectives, budgets, evaluations=25, seed=0)


def closed(result: SearchResult, table: LatencyTable, folder: Path, *, p90: bool = False) -> Closed:
    option = TableOption(folder / "mine.yaml", table, None)
    predicted = [Predicted("latency_ms", option)] + ([Predicted("latency_p90_ms", option, "p90")] if p90 else [])
    return close_search(result, predicted, folder, stabilizers=True, seconds=0.3, seed=1)


def check(closed: Closed, result: SearchResult, table: LatencyTable, folder: Path) -> None:
    plain, space = closed.plain, result.problem.space
    assert json.loads(to_json(plain)) == plain
    refitted = LatencyTable.load(folder / plain["table"])
    names = [objective.name for objective in result.problem.objectives]
    budgets = {b.objective_name: b.at_most for b in result.problem.budgets}
    measured = {(p["objective"], p["index"]): p for p in plain["points"]}
    assert len(measured) == len(plain["points"])
    for (objective, index), point in measured.items():
        arch = result.archs[index]
        added = next(n for n in refitted.added if n.choices == tuple(arch.tolist()))
        quantile = "p90" if "p90" in objective else "p50"
        assert point["measured_ms"] == getattr(added, f"{quantile}_ms") > 0
        times = [point[f"measured_{which}_ms"] for which in ("p10", "p50", "p90")]
        assert times == [added.p10_ms, added.p50_ms, added.p90_ms] == sorted(times)
        assert (point["drift"], point["confidence_95"]) == (added.drift, added.confidence_95)
        assert point["predicted_ms"] == result.values[index, names.index(objective)]
        predictor = LatencyPredictor(refitted, space.inheriting(), quantile=quantile)  # type: ignore[arg-type]
        assert point["refitted_ms"] == pytest.approx(predictor(arch)[0], rel=1e-12)
        assert point["budget_ms"] == budgets.get(objective)
        assert point["within"] == (objective not in budgets or point["measured_ms"] <= budgets[objective])
        assert point["on_front"] == (index in plain["front"])
        assert point["within"] or not point["on_front"]
    measured_once = {index for _, index in measured}
    assert set(plain["front"]) - set(plain["unmeasured"]) <= measured_once
    assert plain["winner"] is None or plain["winner"] in plain["front"]
    assert len(refitted.added) == len(measured_once)
    for each in plain["objectives"]:
        points = [p for p in plain["points"] if p["objective"] == each["objective"]]
        before = np.mean([abs(p["predicted_ms"] / p["measured_ms"] - 1) for p in points])
        assert each["error_before"] == pytest.approx(before)
        assert 0 < each["error_after"] < 10
        assert each["confidence_95"] == max(p["confidence_95"] for p in points)
        assert refitted.calibration is not None
        assert each["error_90"] == refitted.calibration.error_90
        poorly = each["confidence_95"] > each["error_90"]
        assert poorly == any(
            "less well than they are predicted" in line for line in told({**plain, "objectives": [each]})
        )
        assert each["drift"] == pytest.approx(np.median([p["drift"] for p in points]))
    assert {key: plain[key] for key in ("device", "drift", "table", "error_before", "error_after")}.items() <= plain[
        "objectives"
    ][0].items()
    front = closed.front
    assert front.archs.tolist() == result.archs[plain["front"]].tolist()
    for index, values in zip(plain["front"], front.values, strict=True):
        for objective, value in zip(names, values, strict=True):
            if (objective, index) in measured:
                assert value == measured[objective, index]["measured_ms"]
    assert Front.from_dict(front.to_dict(), "here").hypervolume == front.hypervolume
    assert all("\n" not in line and "nan" not in line for line in told(plain))


@pytest.mark.parametrize("p90", [False, True])
def test_a_front_is_measured_and_its_table_refitted(
    table: LatencyTable, tiny: ChainSpace, tmp_path: Path, p90: bool
) -> None:
    result = searched(table, tiny, share=0.5, p90=p90)
    found = closed(result, table, tmp_path, p90=p90)
    check(found, result, table, tmp_path)
    assert len(found.plain["objectives"]) == 1 + p90
    assert {p["index"] for p in found.plain["points"]} >= {result.front[0], result.front[-1]}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.yaml"]


def test_what_is_over_budget_when_measured_is_replaced(table: LatencyTable, tiny: ChainSpace, tmp_path: Path) -> None:
    """Predictions are half of what is true: the search went over its budget, the closed front doesn't."""
    wrong = believing(table, 0.5)
    result = searched(wrong, tiny, share=0.5)
    found = closed(result, wrong, tmp_path)
    check(found, result, wrong, tmp_path)
    over = [p for p in found.plain["points"] if not p["within"]]
    assert over
    assert {p["index"] for p in over} & set(result.front.tolist())
    assert found.plain["error_before"] > found.plain["error_after"]
    assert found.plain["objectives"][0]["budget_as_searched_ms"] < 0.8 * over[0]["budget_ms"]
    assert any("left the front" in line for line in told(found.plain))


def test_it_says_what_a_cautious_predictor_kept_out(table: LatencyTable, tiny: ChainSpace, tmp_path: Path) -> None:
    cautious = believing(table, 2.0)
    result = searched(cautious, tiny, share=0.5)
    found = closed(result, cautious, tmp_path)
    check(found, result, cautious, tmp_path)
    budget_ms = found.plain["points"][0]["budget_ms"]
    assert found.plain["objectives"][0]["budget_as_searched_ms"] > 1.3 * budget_ms
    assert any("search again" in line for line in told(found.plain))


def test_nothing_within_budget_is_left_and_said(table: LatencyTable, tiny: ChainSpace, tmp_path: Path) -> None:
    wrong = believing(table, 0.01)
    result = searched(wrong, tiny, share=0.3)
    found = closed(result, wrong, tmp_path)
    assert (found.plain["front"], found.plain["winner"]) == ([], None)
    assert found.front.hypervolume == 0
    assert any("no arch" in line for line in told(found.plain))


def test_a_second_table_of_this_machine_has_its_own_file(table: LatencyTable, tiny: ChainSpace, tmp_path: Path) -> None:
    result = searched(table, tiny, share=None, p90=True)
    options = [TableOption(Path(f"somewhere/{name}.yaml"), replace(table), None) for name in ("a", "b")]
    predicted = [Predicted("latency_ms", options[0]), Predicted("latency_p90_ms", options[1], "p90")]
    found = close_search(result, predicted, tmp_path, stabilizers=True, seconds=0.2)
    assert [each["table"] for each in found.plain["objectives"]] == ["table-a.yaml", "table-b.yaml"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table-a.yaml", "table-b.yaml"]
    assert all(p["budget_ms"] is None and p["within"] for p in found.plain["points"])


def test_only_tables_of_this_machine_are_measured(table: LatencyTable, tiny: ChainSpace, tmp_path: Path) -> None:
    elsewhere = replace(table, device=table.device.model_copy(update={"hardware": "a board"}))
    here, there = TableOption(Path("a.yaml"), table, None), TableOption(Path("b.yaml"), elsewhere, None)
    assert measurable([there, here]) == [here]
    with pytest.raises(TableError, match=r"b\.yaml: the table is of another device: hardware is a board"):
        measurable([there])
    result = searched(table, tiny, share=None, p90=True)
    predicted = [Predicted("latency_ms", there), Predicted("latency_p90_ms", here, "p90")]
    found = close_search(result, predicted, tmp_path, stabilizers=True, seconds=0.2)
    assert {p["objective"] for p in found.plain["points"]} == {"latency_p90_ms"}
    assert found.front.values[:, 1].tolist() == result.values[found.plain["front"], 1].tolist()
    with pytest.raises(InputError, match="another device"):
        close_search(result, predicted[:1], tmp_path / "not made", stabilizers=True, seconds=0.2)
    assert not (tmp_path / "not made").exists()


def test_networks_that_cannot_be_run_are_reported(
    table: LatencyTable, tiny: ChainSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.cli.closing.check_measurable", lambda table: Recording(broken=(0, 2)))
    result = searched(table, tiny, share=0.5)
    found = closed(result, table, tmp_path)
    check(found, result, table, tmp_path)
    failed = [each["index"] for each in found.plain["failed"]]
    assert len(failed) == 2
    assert not set(failed) & {*found.plain["front"], *(p["index"] for p in found.plain["points"])}
    assert {each["reason"] for each in found.plain["failed"]} == {"no such kernel"}
    assert sum("can't be run" in line for line in told(found.plain)) == 2
