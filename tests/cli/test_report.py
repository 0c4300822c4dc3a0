"""``hwnas report`` on search folders and on tables of other devices."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

import hwnas as hwnas_package
from hwnas.flow.open import BudgetedTable
from hwnas.flow.report import gather, report
from hwnas.optimize import Budget, Objective, run_search
from hwnas.optimize.result import settings_of
from hwnas.prediction.latency import LatencyPredictor
from hwnas.records.search import Baseline, FailedArch, MeasuredFront, SearchedTable, SearchRecord, UnmeasurableArch
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable
from tests.cli.run import Shell
from tests.optimize.problems import quality_and_cost
from tests.reporting.parsed import Page
from tests.reporting.samples import measured_objective, point
from tests.tables.make import made_up_table

MACRO = get_space("macro")


@pytest.fixture
def hwnas(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys)


def saved(folder: Path, name: str, seed: int, space: ChainSpace = MACRO) -> Path:
    path = folder / name
    made_up_table(space, seed).save(path)
    return path


def predict_ms(table: Path, archs: np.ndarray) -> np.ndarray:
    return LatencyPredictor(LatencyTable.load(table), MACRO.inheriting())(archs)


def search_folder(folder: Path, tables: dict[Path, float | None], **more: Any) -> SearchRecord:
    """A real search of macro, with ``more`` fields."""
    quality, _ = quality_and_cost(1)
    names = ["latency_ms"] if len(tables) == 1 else [f"latency_ms {path.stem}" for path in tables]
    loaded = [LatencyTable.load(path) for path in tables]
    result = run_search(
        MACRO.inheriting(),
        [
            Objective("accuracy", lambda archs: quality(archs) / 100, maximize=True),
            *(
                Objective(name, LatencyPredictor(table, MACRO.inheriting()), free=True)
                for name, table in zip(names, loaded, strict=True)
            ),
        ],
        [Budget(name, at_most) for name, at_most in zip(names, tables.values(), strict=True) if at_most],
        evaluations=40,
    )
    searched = [
        SearchedTable(name=path.stem, path=path, sha256="", device=str(table.device), budget_ms=at_most)
        for (path, at_most), table in zip(tables.items(), loaded, strict=True)
    ]
    predicted = {name: (index, "p50") for index, name in enumerate(names)}
    asked = settings_of(result.problem, "nsga2", 0, tables=searched, predicted=predicted)  # type: ignore[arg-type]
    found = result.to_record(asked).model_copy(update=more)
    folder.mkdir(exist_ok=True)
    found.write(folder / "search.json")
    return SearchRecord.read(folder / "search.json")


def reported(hwnas: Shell, *words: object) -> Page:
    """The page that the verb writes."""
    page = Path(str(words[0])).parent / "page.html"
    outcome = hwnas("report", *words, "-o", page)
    assert outcome.status == 0, outcome.err
    return Page(page.read_text("utf-8"))


def test_what_a_search_does_not_have_is_not_in_its_report(hwnas: Shell, tmp_path: Path) -> None:
    search_folder(tmp_path / "search", {saved(tmp_path, "phone.yaml", 1): None})
    page = reported(hwnas, tmp_path / "search")
    assert "chart-front" in page.ids()
    assert "Not in this report: other devices, the measured front" in page.text
    assert "random search" not in page.text
    assert "couldn't be" not in page.text


def test_a_search_of_another_version_is_refused(hwnas: Shell, tmp_path: Path) -> None:
    (tmp_path / "search.json").write_text('{"schema": "hwnas-search/1"}')
    message = hwnas.refused("report", tmp_path, "-o", tmp_path / "page.html")
    assert "has schema hwnas-search/1, this hwnas reads hwnas-search/2; search again" in message


def test_a_search_on_callables_is_saved_and_reported(tmp_path: Path) -> None:
    """No supernet, no table, no folder."""
    quality, cost = quality_and_cost(1)
    objectives = [Objective("quality", quality, maximize=True), Objective("cost", cost, free=True)]
    found = hwnas_package.search(MACRO, objectives, evaluations=30, seed=2).to_record()
    found.write(tmp_path / "mine.json")
    assert SearchRecord.read(tmp_path / "mine.json") == found
    assert found.winner is not None
    page = Page(report(found, output=tmp_path / "page.html").read_text("utf-8"))
    assert "Quality against cost" in page.text
    assert str(found.winner) in page.text


def test_failures_and_the_baseline_arrive(hwnas: Shell, tmp_path: Path) -> None:
    search_folder(
        tmp_path / "search",
        {saved(tmp_path, "phone.yaml", 1): None},
        failed=(FailedArch(choices=(0, 1, 2, 0, 1, 2, 0, 1), reason="accuracy is nan"),),
        baseline=Baseline(evaluations=3, hypervolume_history=(0.0, 0.1, 0.5)),
        hypervolume_history=tuple(np.linspace(0.1, 1, 40).tolist()),
    )
    text = reported(hwnas, tmp_path / "search").text
    assert "40 networks were evaluated; 1 more couldn't be and is left out." in text
    assert "macro:0,1,2,0,1,2,0,1 accuracy is nan" in text
    assert "It reaches random search's final hypervolume after 19 of 40 evaluations" in text


def measured(found: SearchRecord, name: str = "latency_ms", **more: Any) -> MeasuredFront:
    column = [objective.name for objective in found.objectives].index(name)
    points = []
    for index in found.front:
        ms = float(found.values[index, column])
        points.append(point(index, ms, 1.25 * ms, objective=name, measured_p10_ms=ms, measured_p90_ms=2 * ms))
    plain = {
        "rounds": 3, "unmeasured": (), "failed": (), "points": tuple(points),
        "objectives": (measured_objective(objective=name, device="the machine", error_before=0.2),),
    }  # fmt: skip
    return MeasuredFront(**plain | more)


def test_the_measured_front_arrives(hwnas: Shell, tmp_path: Path) -> None:
    table = saved(tmp_path, "phone.yaml", 1)
    found = search_folder(tmp_path / "search", {table: None})
    more = {"unmeasured": (1, 2), "failed": (UnmeasurableArch(index=0, reason="too large"),)}
    search_folder(tmp_path / "search", {table: None}, measured=measured(found, **more))
    page = reported(hwnas, tmp_path / "search")
    assert "chart-measured-0" in page.ids()
    assert (
        f"{len(found.front)} networks were measured. The mean absolute error of the prediction was 20.00 %" in page.text
    )
    for part in (
        "1.10 % for networks left out", "the machine", "1.010 ×", "table.yaml", "2 of the front, which stay",
        "too large",
    ):  # fmt: skip
        assert part in page.text


def test_the_measured_winner_is_compared_with_the_refitted_table(tmp_path: Path) -> None:
    phone = saved(tmp_path, "phone.yaml", 1)
    found = search_folder(tmp_path / "search", {phone: None})
    search_folder(tmp_path / "search", {phone: None}, measured=measured(found))
    saved(tmp_path / "search", "table.yaml", 3)
    latency = gather([tmp_path / "search"]).latency
    assert latency is not None
    assert found.winner_index is not None
    assert latency.measured_ms == 1.25 * found.values[found.winner_index, 1]
    assert latency.measured_p90_ms == 2 * found.values[found.winner_index, 1]
    refitted_ms = predict_ms(tmp_path / "search" / "table.yaml", found.archs[[found.winner_index]])
    assert latency.predicted_ms == pytest.approx(refitted_ms[0])


def test_a_table_refitted_for_the_second_device_is_not_taken_for_the_first(tmp_path: Path) -> None:
    phone, gpu = saved(tmp_path, "phone.yaml", 1), saved(tmp_path, "gpu.yaml", 2)
    found = search_folder(tmp_path / "search", {phone: None, gpu: None})
    search_folder(tmp_path / "search", {phone: None, gpu: None}, measured=measured(found, "latency_ms gpu"))
    saved(tmp_path / "search", "table.yaml", 3)
    latency = gather([tmp_path / "search"]).latency
    assert latency is not None
    assert latency.measured_ms is None
    assert latency.predicted_ms == pytest.approx(found.values[found.winner_index, 1])


def test_the_front_on_another_device_is_what_its_table_predicts(hwnas: Shell, tmp_path: Path) -> None:
    phone, board = saved(tmp_path, "phone.yaml", 1), saved(tmp_path, "board.yaml", 2)
    found = search_folder(tmp_path / "search", {phone: None})
    page = reported(hwnas, tmp_path / "search", "--table", board)
    archs = found.archs[list(found.front)]
    phone_ms, board_ms = predict_ms(phone, archs), predict_ms(board, archs)
    tau, rho = kendalltau(phone_ms, board_ms).statistic, spearmanr(phone_ms, board_ms).statistic
    assert f"Kendall's τ {tau:.2f}, Spearman's ρ {rho:.2f}" in page.text
    for ms in board_ms:
        assert f"{ms:.2f} ms" in page.text or f"{ms:.3f} ms" in page.text
    assert "chart-device-0" in page.ids()
    assert "Latency on board against phone" in page.text


def test_each_other_table_may_have_a_budget(hwnas: Shell, tmp_path: Path) -> None:
    found = search_folder(tmp_path / "search", {saved(tmp_path, "phone.yaml", 1): None})
    board, watch = saved(tmp_path, "board.yaml", 2), saved(tmp_path, "watch.yaml", 3)
    at_most = float(np.median(predict_ms(board, found.archs)))
    page = reported(hwnas, tmp_path / "search", "--table", f"{board}:{at_most}", "--table", watch)
    assert {"chart-device-0", "chart-device-1"} <= set(page.ids())
    assert "The best within" in page.text
    assert "on watch" in page.text


def test_a_search_for_two_devices_compares_them_by_itself(hwnas: Shell, tmp_path: Path) -> None:
    phone, gpu = saved(tmp_path, "phone.yaml", 1), saved(tmp_path, "gpu.yaml", 2)
    search_folder(tmp_path / "search", {phone: None, gpu: None})
    page = reported(hwnas, tmp_path / "search")
    assert {"chart-front", "chart-front-1", "chart-device-0"} <= set(page.ids())
    assert "Accuracy against latency on gpu" in page.text
    gpu.unlink()
    phone.unlink()
    (tmp_path / "page.html").unlink()
    assert "Latency on gpu against phone" in reported(hwnas, tmp_path / "search").text, "the tables needn't be there"


def test_tables_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    here, there = saved(tmp_path / "a", "table.yaml", 1), saved(tmp_path / "b", "table.yaml", 2)
    search_folder(tmp_path / "search", {here: None})
    content = gather([tmp_path / "search"], [BudgetedTable("table", there, LatencyTable.load(there))])
    assert [device.name for device in content.devices] == [str(here), str(there)]


def test_interpolated_ops_are_counted(tmp_path: Path) -> None:
    search_folder(tmp_path / "search", {saved(tmp_path, "phone.yaml", 1): None})
    full = made_up_table(MACRO, 2)
    kinds = [op for op in full.ops if op.kind == "mbconv"]
    fewer = dataclasses.replace(full, ops={op: full.ops[op] for op in full.ops if op not in kinds[:3]})
    content = gather([tmp_path / "search"], [BudgetedTable("board", tmp_path / "board.yaml", fewer)])
    assert [device.interpolated for device in content.devices] == [0, 3]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--table", "s2.yaml"], "lacks"),
        (["--table", "nothing.yaml"], "can't read"),
        (["--table", "board.yaml:fast"], "number of ms"),
        (["--table", "board.yaml:-1"], "positive"),
        (["--table", "board.yaml:nan"], "finite"),
    ],
)
def test_tables_that_do_not_fit(
    hwnas: Shell, words: list[str], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    search_folder(tmp_path / "search", {saved(tmp_path, "phone.yaml", 1): None})
    saved(tmp_path, "board.yaml", 2)
    s2 = made_up_table(get_space("scarlet-s2"), 1)
    stem = {op: entry for op, entry in s2.ops.items() if op.kind == "stem"}
    dataclasses.replace(s2, ops=stem).save(tmp_path / "s2.yaml")
    before = sorted(tmp_path.iterdir())
    assert part in hwnas.refused("report", "search", "-o", "page.html", *words)
    assert sorted(tmp_path.iterdir()) == before


def test_without_a_search_there_is_no_front_to_compare(hwnas: Shell, tmp_path: Path) -> None:
    table = saved(tmp_path, "table.yaml", 1)
    message = hwnas.refused("report", tmp_path, "--table", table, "-o", tmp_path / "page.html")
    assert "no search" in message
    assert json.loads(hwnas("report", tmp_path, "-o", tmp_path / "page.html", "--json").out)["report"]
