"""What each verb prints, and that its files are there."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.flow.feasible import COSTS
from hwnas.flow.search import hardly_apart
from hwnas.optimize import hypervolume
from hwnas.optimize.strategies import STRATEGIES
from hwnas.prediction.costs import model_mb, peak_activation_mb
from hwnas.prediction.latency import LatencyPredictor
from hwnas.records.search import SearchRecord
from hwnas.space.arch import parse_arch
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable
from hwnas.training.trained import SupernetAccuracy
from tests.cli.conftest import Flow
from tests.cli.run import Shell


def test_space_list_and_show(hwnas: Shell, flow: Flow) -> None:
    names = [space["name"] for space in hwnas("space", "list", "--json").json["spaces"]]
    assert names == ["scarlet-s1", "scarlet-s2", "scarlet-tiny", "macro", "vit-tiny"]
    shown = hwnas("space", "show", "scarlet-s2", "--json").json
    assert len(shown["layers"]) == 19
    assert shown["size"] == 12**6 * 13**13
    assert "layer 18" in hwnas("space", "show", "scarlet-s2").out
    assert hwnas("space", "show", flow.space, "--json").json["name"] == "small"


def test_count_gives_the_golden_numbers(hwnas: Shell) -> None:
    counted = hwnas("count", "scarlet-a", "--json").json
    assert counted["params"] == 6_707_720
    assert round(counted["madds"] / 1e6, 1) == 365.3
    assert sum(op["madds"] for op in counted["ops"]) == counted["madds"]
    smaller = hwnas("count", "scarlet-a", "--resolution", "160", "--json").json
    assert smaller["params"] == counted["params"]
    assert smaller["madds"] < counted["madds"]


def test_profile_made_a_table_that_show_prints(hwnas: Shell, flow: Flow) -> None:
    table = LatencyTable.load(flow.table)
    shown = hwnas("table", "show", flow.table, "--json").json
    assert len(shown["ops"]) == len(table.ops)
    assert shown["calibration"]["networks"] == len(table.networks)
    text = hwnas("table", "show", flow.table).out
    assert str(table.device) in text
    assert text.index("90th percentile:") < text.index(f"±{next(iter(table.ops.values())).spread:>6.1%}")


def test_predict(hwnas: Shell, flow: Flow) -> None:
    archs = [f"{flow.space}:0,1,2,3,4,1", f"{flow.space}:0,0,0,0,0,0"]
    predicted = hwnas("predict", "--table", flow.table, *archs, "--json").json
    expected = LatencyPredictor(LatencyTable.load(flow.table), get_space(str(flow.space)))(
        [parse_arch(arch).choices for arch in archs]
    )
    assert predicted["latency_ms"] == expected.tolist()
    for low, mid, high in zip(predicted["low_ms"], predicted["latency_ms"], predicted["high_ms"], strict=True):
        assert low < mid < high
    slow = hwnas("predict", "--table", flow.table, "--quantile", "p90", *archs, "--json").json
    assert (predicted["quantile"], slow["quantile"]) == ("p50", "p90")
    expected = LatencyPredictor(LatencyTable.load(flow.table), get_space(str(flow.space)), quantile="p90")(
        [parse_arch(arch).choices for arch in archs]
    )
    assert slow["latency_ms"] == expected.tolist() != predicted["latency_ms"]
    assert "p95" in hwnas("predict", "--table", flow.table, "--quantile", "p95", *archs).err


@pytest.mark.usefixtures("quick")
def test_table_validate(hwnas: Shell, flow: Flow) -> None:
    found = hwnas("table", "validate", flow.table, "--networks", "6", "--json").json
    assert {"mape", "within_5", "within_10", "spearman", "retest_mape", "networks"} <= found.keys()
    assert len(found["networks"]) == 6


def test_search_never_leaves_the_budget(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    table, space = LatencyTable.load(flow.table), get_space(str(flow.space))
    predictor = LatencyPredictor(table, space.inheriting())
    budget_ms = round(float(np.quantile(predictor(space.sample(500, 0)), 0.3)), 6)
    found = hwnas(
        "search", "--supernet", flow.supernet, "--table", f"{flow.table}:{budget_ms}", "--evaluations", "10",
        "-o", tmp_path / "search", "--json",
    ).json  # fmt: skip
    assert found["evaluations"] == 10
    assert found["front"]
    for point in found["front"]:
        assert point["latency_ms"] <= budget_ms
        assert predictor(point["choices"])[0] == pytest.approx(point["latency_ms"], rel=1e-12)
    everything = json.loads((tmp_path / "search" / "search.json").read_text())
    assert max(values[1] for values in everything["values"]) <= budget_ms


def test_a_front_is_printed_by_latency_with_its_numbers_in_the_file(
    hwnas: Shell, flow: Flow, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    words = ("search", "--supernet", flow.supernet, "--table", flow.table, "--evaluations", "20")
    printed = hwnas(*words, "-o", tmp_path / "search")
    head, *lines = printed.out.splitlines()[:-3]
    assert head.split() == ["accuracy", "latency_ms", "madds", "choices"]
    rows = [re.fullmatch(r"[* ] +(\d+)  [\d.]+% ± [\d.]+  +(\S+)  +\S+  (\S+)", line) for line in lines]
    assert len({line.index("%") for line in lines}) == len({line.rindex("  ") for line in lines}) == 1  # aligned
    found = [(int(row[1]), float(row[2].replace(",", "")), row[3]) for row in rows if row]
    assert len(found) == len(lines) > 2
    assert [latency_ms for _, latency_ms, _ in found] == sorted(latency_ms for _, latency_ms, _ in found)
    points = json.loads((tmp_path / "search" / "front.json").read_text())["points"]
    assert [choices for _, _, choices in found] == [",".join(map(str, points[n]["choices"])) for n, _, _ in found]
    remark = hardly_apart(SearchRecord.read(tmp_path / "search" / "search.json"))
    assert (remark is not None) == any(str(each.message) == remark for each in recwarn)  # pytest takes it from stderr


def test_a_search_keeps_to_limits_of_size_and_memory(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    space = get_space(str(flow.space))
    archs = space.sample(500, 0)
    costs = {"model_mb": model_mb(space.inheriting()), "peak_activation_mb": peak_activation_mb(space)}
    limits = {name: round(float(np.quantile(cost(archs), 0.4)), 6) for name, cost in costs.items()}
    words = [word for name, at_most in limits.items() for word in ("--limit", f"{name}={at_most}")]
    found = hwnas(
        "search", "--supernet", flow.supernet, "--table", flow.table, "--evaluations", "10", *words,
        "-o", tmp_path / "search", "--json",
    ).json  # fmt: skip
    assert found["front"]
    everything = json.loads((tmp_path / "search" / "search.json").read_text())
    names = [objective["name"] for objective in everything["objectives"]]
    for name, at_most in limits.items():
        values = np.array(everything["values"])[:, names.index(name)]
        assert values.max() <= at_most
        assert values == pytest.approx(costs[name](np.array(everything["archs"])))


def _search(flow: Flow, output: Path, *words: object) -> tuple[object, ...]:
    return "search", "--supernet", flow.supernet, "--table", flow.table, "-o", output, *words


def _everything(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "search.json").read_text())
    return found


def test_a_search_is_resumed_from_its_store(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    """Cut short after 7 evaluations, resumed to 12: the same bytes as the flow's search of 12."""
    words = _search(flow, tmp_path / "search", "--store", tmp_path / "own.sqlite")
    hwnas(*words, "--evaluations", "7")
    hwnas(*words, "--evaluations", "12", "--resume")
    for name in ("search.json", "front.json", "winner.json"):
        assert (tmp_path / "search" / name).read_bytes() == (flow.search / name).read_bytes()


def test_searches_of_a_supernet_share_what_was_evaluated(
    hwnas: Shell, flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (flow.supernet / "evaluations.sqlite").exists()
    monkeypatch.setattr(SupernetAccuracy, "__call__", lambda *_: pytest.fail("it was evaluated before"))
    assert hwnas(*_search(flow, tmp_path / "search", "--evaluations", "12")).status == 0
    assert (tmp_path / "search" / "search.json").read_bytes() == (flow.search / "search.json").read_bytes()


def test_what_fails_is_left_out_and_reported(
    hwnas: Shell, flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate, calls = SupernetAccuracy.__call__, iter(range(100))

    def flaky(accuracy: SupernetAccuracy, archs: Any) -> Any:
        if next(calls) % 6 == 2:
            raise RuntimeError("out of luck")
        return evaluate(accuracy, archs)

    monkeypatch.setattr(SupernetAccuracy, "__call__", flaky)
    words = _search(flow, tmp_path / "search", "--store", tmp_path / "own.sqlite", "--evaluations", "12", "--json")
    outcome = hwnas(*words)
    assert outcome.status == 0
    reason = f"RuntimeError: out of luck (test_verbs.py, line {flaky.__code__.co_firstlineno + 2})"
    assert f"2 of 12 evaluations failed and are left out; the latest: {reason}" in outcome.err
    found = _everything(tmp_path / "search")
    assert outcome.json["failed"] == found["failed"]
    assert [failure["reason"] for failure in found["failed"]] == [reason] * 2
    assert (outcome.json["evaluations"], len(found["archs"])) == (12, 10)
    assert not {tuple(f["choices"]) for f in found["failed"]} & {tuple(arch) for arch in found["archs"]}

    monkeypatch.setattr(SupernetAccuracy, "__call__", evaluate)  # mended, but what is resumed goes on as it began
    before = (tmp_path / "search" / "search.json").read_bytes()
    assert hwnas(*words, "--resume").status == 0
    assert (tmp_path / "search" / "search.json").read_bytes() == before


def test_a_search_is_compared_with_random_archs(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    assert hwnas(*_search(flow, tmp_path / "search", "--evaluations", "12", "--baseline")).status == 0
    found = _everything(tmp_path / "search")
    history = found["baseline"].pop("hypervolume_history")
    assert found["baseline"] == {"evaluations": 12}
    assert len(history) == 12
    assert history == sorted(history)
    assert _everything(flow.search) == {**found, "baseline": None}

    random = _search(flow, tmp_path / "random", "--evaluations", "12", "--strategy", "random")
    assert hwnas(*random).status == 0
    names = [objective["name"] for objective in found["objectives"]]
    there = _everything(tmp_path / "random")
    values, maximize = np.array(there["values"]), [objective["maximize"] for objective in there["objectives"]]
    assert names == [objective["name"] for objective in there["objectives"]]
    expected = [hypervolume(values[:count], found["reference"], maximize) for count in range(1, 13)]
    assert history == pytest.approx(expected, rel=1e-12)


def test_what_is_optimised_is_chosen(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    words = ["--evaluations", "2", "--objective", "params", "--objective", "model_mb", "--limit", "params=1e6"]
    words += ["--weight", "accuracy=2", "--weight", "latency_ms=-0.5"]
    assert "at least 0" in hwnas.refused(*_search(flow, tmp_path / "search", *words))
    words[-1] = "latency_ms=0.5"
    hwnas(*_search(flow, tmp_path / "search", *words))
    found = _everything(tmp_path / "search")
    assert [o["name"] for o in found["objectives"]] == ["accuracy", "latency_ms", "params", "model_mb"]
    assert found["budgets"] == {"params": 1e6}
    assert {o["name"]: o["weight"] for o in found["objectives"] if o["weight"]} == {"accuracy": 2.0, "latency_ms": 0.5}
    hwnas(*_search(flow, tmp_path / "none", "--evaluations", "2", "--objective", "none"))
    assert [o["name"] for o in _everything(tmp_path / "none")["objectives"]] == ["accuracy", "latency_ms"]


def test_help_of_search_names_what_there_is(hwnas: Shell) -> None:
    text = " ".join(hwnas("search", "--help").out.split())
    assert ", ".join(STRATEGIES.names()) in text
    assert ", ".join(COSTS) in text


def test_derive_says_what_it_made(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    arch = f"{flow.space}:0,1,2,3,4,1"
    derived = hwnas("derive", arch, "--supernet", flow.supernet, "-o", tmp_path / "model", "--json").json
    assert derived["stabilizers"] == {"4": "kept as layers.4: a residual on both sides"}
    assert derived["parity"] < 1e-4
    assert 0 <= derived["accuracy"]["inherited, test"] <= 1
    counted = hwnas("count", arch, "--json").json
    assert derived["madds"] == counted["madds"] + 12 * 12 * 16  # the kept 1×1 convolution, 12 channels at 4×4
    text = hwnas("derive", "macro:0,1,2,0,1,2,0,1", "-o", tmp_path / "random").out
    assert "fvcore agrees" in text


@pytest.mark.usefixtures("quick")
def test_export_and_bench(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    exported = hwnas("export", flow.model, "--target", "onnx-fp32", "-o", tmp_path / "artifact", "--json").json
    assert exported["files"] == ["onnx-fp32.onnx"]
    assert exported["parity"]["onnx-fp32"]["inputs"] == "images of digits"
    assert set(exported["precision"]["onnx-fp32"]) == {"fp32"}
    rows = hwnas("bench", flow.artifact, tmp_path / "artifact", "--table", flow.table, "--json").json["results"]
    assert len(rows) == 2
    assert all(row["p50_ms"] > 0 and row["predicted_ms"] > 0 for row in rows)


def test_a_released_name_is_exported_for_timing(hwnas: Shell, tmp_path: Path) -> None:
    exported = hwnas("export", "scarlet-c", "--target", "onnx-fp32", "-o", tmp_path / "artifact", "--json").json
    assert exported["parity"]["onnx-fp32"]["inputs"] == "random textures"


def test_report_of_a_search(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert hwnas("report", flow.search, "-o", page, "--json").json == {"report": str(page)}
    text = page.read_text("utf-8")
    assert "small" in text
    front = json.loads((flow.search / "search.json").read_text())
    assert all(",".join(map(str, front["archs"][i])) in text for i in front["front"])


def test_a_search_opens_anywhere_without_its_spaces_yaml(
    hwnas: Shell, flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = flow.space.with_suffix(".gone")
    flow.space.rename(gone)
    monkeypatch.chdir(tmp_path)
    try:
        hwnas("derive", flow.search / "winner.json", "--supernet", flow.supernet, "-o", "winner")
        hwnas("derive", f"{flow.search / 'front.json'}:0", "--supernet", flow.supernet, "-o", "first")
        hwnas("report", flow.search, "-o", "page.html")
    finally:
        gone.rename(flow.space)
    found = SearchRecord.read(flow.search / "search.json")
    for model, index in (("winner", found.winner_index), ("first", found.front[0])):
        searched = json.loads((tmp_path / model / "model.json").read_text())["info"]["searched"]
        assert searched["evaluations"] == found.evaluations
        assert searched["devices"][0]["predicted_ms"] == found.values[index, 1]
    assert str(found.winner) in (tmp_path / "page.html").read_text("utf-8")


def test_report_of_a_search_folder_alone(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    shutil.copytree(flow.search, tmp_path / "alone")
    assert hwnas("report", tmp_path / "alone", "-o", tmp_path / "report.html").status == 0
    assert "Not in this report" in (tmp_path / "report.html").read_text("utf-8")


def test_fine_tuning_a_derived_network(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    config = tmp_path / "tune.yaml"
    config.write_text(
        f"data: digits\nlearner: {{kind: network, network: {flow.model}}}\nepochs: 2\nwarmup_epochs: 0.5\nbatch: 64\n"
    )
    found = hwnas("train", config, "-o", tmp_path / "run", "--json").json
    before = json.loads((flow.model / "model.json").read_text())["info"]["accuracy"]["inherited, test"]
    assert found["accuracy"]["test"] > before
    assert hwnas("train", config, "-o", tmp_path / "run", "--resume").status == 0
    hwnas("export", tmp_path / "run" / "model", "--target", "onnx-fp32", "-o", tmp_path / "artifact")
    manifest = json.loads((tmp_path / "artifact" / "manifest.json").read_text())
    assert manifest["accuracy"]["test"] == found["accuracy"]["test"]
    assert manifest["data"] == "digits"


def test_version(hwnas: Shell) -> None:
    assert hwnas("--version").out == "0.1.0\n"


@pytest.mark.parametrize("words", [[], ["table"], ["kit"], ["space"], ["artifact"]])
def test_a_noun_alone_prints_its_help_as_it_is(hwnas: Shell, words: list[str]) -> None:
    asked = hwnas(*words, "--help")
    assert hwnas(*words) == asked
    assert hwnas(*words, "-h") == asked
    assert (asked.status, asked.err) == (0, "")
    assert len(asked.out.splitlines()) > 5


@pytest.mark.parametrize("words", [["search"], ["search", "--foo"], ["table", "show"], ["table", "shw"], ["--foo"]])
def test_a_wrong_use_names_the_help_of_its_verb(hwnas: Shell, words: list[str]) -> None:
    verb = [word for word in words if word not in ("--foo", "shw")]
    assert hwnas.refused(*words).endswith(f"(see {' '.join(['hwnas', *verb])} --help)")
