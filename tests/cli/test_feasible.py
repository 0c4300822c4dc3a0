"""``hwnas space feasible`` on shipped tables: golden numbers, and what it refuses."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwnas.prediction.costs import madds, peak_activation_mb
from hwnas.prediction.latency import LatencyPredictor
from hwnas.shipped import shipped
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable
from tests.cli.run import Shell


def _table(name: str) -> Path:
    return next(shipped("latency_tables").glob(f"*/scarlet-{name}.yaml"))


S2 = _table("s2-224-onnxruntime-fp32-1t")


def test_one_budget(hwnas: Shell) -> None:
    found = hwnas("space", "feasible", "scarlet-s2", "--table", f"{S2}:9", "--json").json
    assert found["size"] == get_space("scarlet-s2").size
    assert found["count_low"] <= found["count"] <= found["count_high"]
    assert found["count_low"] == pytest.approx(2.2423e20, rel=1e-4)
    assert found["count_high"] == pytest.approx(2.2483e20, rel=1e-4)
    assert found["share"] == pytest.approx(0.2482, abs=1e-4)
    assert not found["exact"]
    assert found["confidence"] == 1
    assert found["acceptance"] > 0.99
    assert found["fastest_ms"] == pytest.approx(2.857157, abs=1e-6)
    assert 8.99 < found["slowest_ms"] <= 9
    space = get_space("scarlet-s2")
    predictor = LatencyPredictor(LatencyTable.load(S2), space)
    latency = found["extremes"]["latency_ms"]
    for end in ("least", "most", "least_of_space", "most_of_space"):
        assert predictor(latency[end]["choices"])[0] == latency[end]["value"]
    assert latency["most_of_space"]["value"] > predictor(space.sample(10_000, 0)).max()
    largest = found["extremes"]["madds"]["most"]
    assert madds(space)(largest["choices"])[0] == largest["value"]
    assert predictor(largest["choices"])[0] <= 9
    assert largest["value"] <= largest["bound"] <= 1.01 * largest["value"]
    text = hwnas("space", "feasible", "scarlet-s2", "--table", f"{S2}:9").out
    assert "of 904,380,222,282,761,981,952 archs (24.82 %)" in text
    assert "for certain 2.2423e+20 to 2.2483e+20" in text


def test_the_whole_space_where_nothing_is_limited(hwnas: Shell) -> None:
    found = hwnas("space", "feasible", "scarlet-s2", "--table", S2, "--stabilizers", "--json").json
    assert found["count"] == found["size"]
    assert found["share"] == 1
    assert found["exact"]
    latency = found["extremes"]["latency_ms"]
    assert latency["least"] == latency["least_of_space"]
    assert found["slowest_ms"] == latency["most_of_space"]["value"] > 14
    assert "904,380,222,282,761,981,952 of" in hwnas("space", "feasible", "scarlet-s2", "--table", S2).out


def test_few_archs_are_counted_to_the_last_one(hwnas: Shell) -> None:
    words = ["space", "feasible", "scarlet-s2", "--table", f"{S2}:3.4", "--limit", "model_mb=8.7"]
    found = hwnas(*words, "--json").json
    assert (found["count"], found["exact"]) == (2632, True)
    assert hwnas(*words).out.startswith("2,632 of 904,")


def test_several_devices_and_a_limit_that_is_no_sum(hwnas: Shell) -> None:
    other = _table("s2-224-openvino-fp32-1t")
    found = hwnas(
        "space", "feasible", "scarlet-s2", "--table", f"{S2}:9", "--table", f"{other}:8", "--limit",
        "peak_activation_mb=4", "--json",
    ).json  # fmt: skip
    assert set(found["budgets"]) == {f"latency_ms {S2.stem}", f"latency_ms {other.stem}", "peak_activation_mb"}
    assert found["confidence"] == 0.999
    assert found["count_low"] < found["count"] < found["count_high"] < 1.2 * found["count_low"]
    space = get_space("scarlet-s2")
    archs = space.sample(50_000, 0)
    within = (
        (LatencyPredictor(LatencyTable.load(S2), space)(archs) <= 9)
        & (LatencyPredictor(LatencyTable.load(other), space)(archs) <= 8)
        & (peak_activation_mb(space)(archs) <= 4)
    )
    assert found["share"] == pytest.approx(within.mean(), abs=4 * np.sqrt(within.mean() / 50_000))
    peaks = found["extremes"]["peak_activation_mb"]
    for end in ("least_of_space", "most_of_space"):
        assert peaks[end]["exact"]
        assert peak_activation_mb(space)(peaks[end]["choices"])[0] == peaks[end]["value"] == peaks[end]["bound"]
    drawn = peak_activation_mb(space)(archs)
    assert peaks["least_of_space"]["value"] <= drawn.min() < drawn.max() <= peaks["most_of_space"]["value"]


@pytest.mark.parametrize(
    ("budget", "limit", "parts"),
    [
        ("2", [], ["latency_ms at most 2: the fastest", "give at least 2.858"]),
        ("9000", [], ["isn't in milliseconds"]),
        ("-1", [], ["positive"]),
        ("9", ["--limit", "model_mb=5"], ["model_mb at most 5", "at least 8.613"]),
        ("9", ["--limit", "speed=5"], ["NAME one of"]),
    ],
)
def test_budgets_that_cant_be_met(hwnas: Shell, budget: str, limit: list[str], parts: list[str]) -> None:
    message = hwnas.refused("space", "feasible", "scarlet-s2", "--table", f"{S2}:{budget}", *limit, "--json")
    assert all(part in message for part in parts)


def test_a_limit_on_the_90th_percentile(hwnas: Shell) -> None:
    found = hwnas("space", "feasible", "scarlet-s2", "--table", S2, "--limit", "latency_p90_ms=9", "--json").json
    space = get_space("scarlet-s2")
    p90 = LatencyPredictor(LatencyTable.load(S2), space, quantile="p90")(space.sample(20_000, 0))
    assert found["share"] == pytest.approx((p90 <= 9).mean(), abs=0.01)
    assert found["extremes"]["latency_p90_ms"]["most"]["value"] <= 9


def test_two_tables_of_one_name_are_refused(hwnas: Shell, tmp_path: Path) -> None:
    copy = tmp_path / S2.name
    copy.write_bytes(S2.read_bytes())
    message = hwnas.refused("space", "feasible", "scarlet-s2", "--table", f"{S2}:9", "--table", f"{copy}:8")
    assert f"two tables are called {S2.stem}" in message
    assert "rename one file" in message


def test_budgets_that_contradict_each_other(hwnas: Shell) -> None:
    """Each can be met alone. Raised to what the message says, they can be met together, and only just."""
    two_threads = _table("s2-224-onnxruntime-fp32-2t")
    words = ["space", "feasible", "scarlet-s2", "--table"]
    message = hwnas.refused(*words, f"{two_threads}:1.696", "--limit", "madds=109e6", "--json")
    assert "no arch of scarlet-s2 has latency_ms at most 1.696 and madds at most 1.09e+08" in message
    least_madds, least_ms = re.findall(r"the least \S+ within the \w+ is ([\d.]+)[,;]", message)
    assert 1.696 < float(least_ms) < 1.7
    for budget, limit in ((least_ms, 109e6), (1.696, least_madds)):
        found = hwnas(*words, f"{two_threads}:{budget}", "--limit", f"madds={limit}", "--json").json
        assert found["exact"]
        assert 1 <= found["count"] < 10


def test_a_table_of_another_resolution_or_space(hwnas: Shell) -> None:
    other = _table("s2-160-onnxruntime-fp32-1t")
    assert hwnas("space", "feasible", "scarlet-s2", "--table", other, "--json").json["resolution"] == 160
    for words in (["scarlet-s2", "--resolution", "224"], ["scarlet-s2", "--classes", "10"], ["macro"]):
        message = hwnas.refused("space", "feasible", *words, "--table", other, "--json")
        assert "run hwnas profile --space" in message


def test_ops_that_a_table_lacks_are_told(hwnas: Shell, tmp_path: Path) -> None:
    table, gaps = LatencyTable.load(S2), tmp_path / "gaps.yaml"
    kept = [op for op in table.ops if op not in get_space("scarlet-s2").layers[5][2:5]]
    gaps.write_text(replace(table, ops={op: table.ops[op] for op in kept}).to_yaml())
    words = ["space", "feasible", "scarlet-s2", "--json", "--table"]
    whole, lacking = hwnas(*words, f"{S2}:9"), hwnas(*words, f"{gaps}:9")
    assert (whole.json["interpolated_ops"], whole.err) == ({str(S2): 0}, "")
    assert lacking.json["interpolated_ops"] == {str(gaps): 3}
    assert "lacks 3 ops of scarlet-s2 at 224 px: interpolated" in lacking.err
    assert lacking.json["share"] == pytest.approx(whole.json["share"], rel=0.1)
