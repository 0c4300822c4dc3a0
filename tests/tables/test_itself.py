"""A table whose parts contradict one another is refused, or told, whenever it is loaded."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from hwnas.errors import HwnasWarning, TableError
from hwnas.prediction.calibrate import calibrate
from hwnas.prediction.latency import LatencyPredictor
from hwnas.space.chain import ChainSpace
from hwnas.tables.table import AddedNetwork, LatencyTable, MeasuredNetwork
from tests.tables.make import latency, made_up_table

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def table(small_space: ChainSpace) -> LatencyTable:
    """Networks take 1.1 × the sum of their ops, to which the table is calibrated."""
    plain = made_up_table(small_space)

    def measured(choices: list[int], space: ChainSpace) -> MeasuredNetwork:
        sum_ms = sum(plain.ops[op].p50_ms for op in space.graph(choices).ops)
        return MeasuredNetwork(choices=tuple(choices), **latency(1.1 * sum_ms).model_dump())

    networks = [measured(choices, small_space) for choices in small_space.sample(12, seed=0).tolist()]
    added = AddedNetwork(**networks[0].model_dump(), stabilizers=False, drift=1.0, started="2026-11-22T09:00:00+00:00")
    held_out = ((networks[10], networks[10]), (networks[11], networks[11]))
    table = replace(plain, networks=tuple(networks[:10]), held_out=held_out, added=(added,))
    return calibrate(table, small_space)


def _times(part: str, factor: float) -> Change:
    def change(data: dict[str, Any]) -> None:
        for entry in data[part]:
            entry |= {key: entry[key] * factor for key in ("p10_ms", "p50_ms", "p90_ms")}

    return change


def _set(part: str, **values: Any) -> Change:
    return lambda data: (data[part][0] if isinstance(data[part], list) else data[part]).update(values)


def _load(table: LatencyTable, change: Change = lambda data: None) -> LatencyTable:
    data = yaml.safe_load(table.to_yaml())
    change(data)
    return LatencyTable.from_dict(data, "t.yaml")


def test_a_table_that_agrees_with_itself_is_taken_silently(table: LatencyTable) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _load(table) == table


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set("space", fingerprint="0" * 16), "space: .* isn't what it was"),
        (_set("space", resolution=64), "space: .* isn't what it was"),
        (_set("space", definition=None, source="nobodys"), "space: no space 'nobodys'"),
        (lambda data: data.update(space=None), "networks: of which space isn't said"),
        (_set("networks", choices=[0, 1]), "networks: .* must all have 6 choices"),
        (_set("networks", choices=[0, 1, 2, 99, 0, 1]), "networks: choice 99 at layer 3"),
        (_set("networks", choices=[0, 1, 2, 2**70, 0, 1]), "networks: an arch of small is 6 integers"),
        (_set("added", choices=[0, 1, 2, 99, 0, 1]), "added: choice 99 at layer 3"),
        (lambda data: data["held_out"][1][1].update(choices=[77, 1, 2, 0, 0, 1]), "held_out: choice 77 at layer 0"),
        (_set("calibration", fixed_ms=-1e6), r"calibration .*takes -1e\+06 ms that was measured at"),
        (_set("calibration", fixed_ms=1e6), "of another table: profile again"),
        (_set("calibration", scale=99.0), "of another table: profile again"),
        (_set("calibration", per_op_ms={"op": -1e3}), "of another table: profile again"),
        (_set("calibration", per_op_ms={"mbconv": 1e3}), "of another table: profile again"),
        (
            _set("calibration", per_op_ms={"mbcon": 0.0}),
            "per_op_ms: no class of its ops 'mbcon'; did you mean 'mbconv'",
        ),
        (_set("calibration", per_op_ms={"op": 1e308}), r"calibration\.per_op_ms\.op: .* got 1e[+]308"),
        (_set("calibration", fixed_ms=-1e300), r"calibration\.fixed_ms: .* got -1e[+]300"),
        (_set("calibration", networks=10**30), r"calibration\.networks: .* less than"),
        (_set("calibration", networks=12), "can't be of 11 networks"),
        (
            _set("calibration", error_90=2.0, held_out_mape=0.05),
            r"±200.0% .* that can't be of 11 networks, missed by 5.0%",
        ),
        (_set("calibration", error_90=0.05, held_out_mape=0.05), "can't be of 11 networks"),
        (lambda data: data["ops"][2]["op"].update(kernel=10**6), "k1000000 .* is no op of .*small.yaml"),
        (_set("ops", count=2**70), r"ops\.0\.count: .* less than"),
        (_set("device", batch=2**70), r"device\.batch: .* less than"),
        (_set("device", threads=0), r"device\.threads: .* greater than"),
        (_set("protocol", drift=1e300), r"protocol\.drift: .* less than 1000000, got 1e[+]300"),
        (_set("protocol", started="yesterday"), r"protocol\.started: a date and time .* got 'yesterday'"),
        (_set("added", started="2026-01-01"), r"added\.0\.started: a date and time with its zone"),
        (_set("ops", p50_ms=-1e-9), r"ops\.0\.p50_ms"),
        (_set("ops", p10_ms=2.0, p90_ms=0.1), r"ops\.0: p10 ≤ p50 ≤ p90 doesn't hold"),
        (_set("networks", p90_ms=1e-3), r"networks\.0: p10 ≤ p50 ≤ p90 doesn't hold"),
    ],
)
def test_contradictions_are_refused(table: LatencyTable, change: Change, words: str) -> None:
    with pytest.raises(TableError, match=words) as caught:
        _load(table, change)
    assert str(caught.value).startswith("t.yaml: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("part", "factor", "words"),
    [
        ("ops", 1e3, "11 of its 11 networks take 0.0011 × the sum of their ops: µs for ms in its ops[?]"),
        ("ops", 1e-3, "take 1.1e[+]03 × the sum of their ops: µs for ms in its networks[?]"),
        ("networks", 1e3, "10 of its 11 networks take 1.1e[+]03 × .* in its networks[?]"),
        ("added", 1e3, "1 of its 11 networks take 1.1e[+]03 × .* in its networks[?]"),
    ],
)
def test_another_unit_is_told(table: LatencyTable, part: str, factor: float, words: str) -> None:
    with pytest.warns(HwnasWarning, match=words):
        _load(replace(table, calibration=None), _times(part, factor))


@pytest.mark.parametrize("factor", [1e5, 1e-5])
def test_one_op_in_another_unit_is_told(table: LatencyTable, factor: float) -> None:
    def change(data: dict[str, Any]) -> None:
        data["ops"][3] |= {key: factor * data["ops"][3][key] for key in ("p10_ms", "p50_ms", "p90_ms")}

    odd = list(table.ops)[3]
    with pytest.warns(HwnasWarning) as told:
        _load(replace(table, calibration=None, networks=(), held_out=(), added=()), change)
    assert [f"t.yaml: [{odd}] takes " in str(each.message) for each in told] == [True]


def test_ops_that_lack_are_told(table: LatencyTable) -> None:
    lacking = list(table.ops)[3]
    with pytest.warns(HwnasWarning, match=r"t.yaml: lacks 1 op of .*, to be interpolated: \[") as told:
        _load(table, lambda data: data["ops"].pop(3))
    assert [f"[{lacking}]" in str(each.message) for each in told] == [True]


def test_another_unit_is_told_though_a_calibration_makes_up_for_it(
    table: LatencyTable, small_space: ChainSpace, tmp_path: Path
) -> None:
    with pytest.warns(HwnasWarning):
        mixed = calibrate(_load(replace(table, calibration=None), _times("ops", 1e3)), small_space)
    archs = small_space.sample(5, seed=1)
    assert LatencyPredictor(mixed, small_space)(archs) == pytest.approx(LatencyPredictor(table, small_space)(archs))
    mixed.save(tmp_path / "t.yaml")
    show = [sys.executable, "-m", "hwnas", "table", "show", "t.yaml"]
    shown = subprocess.run(show, capture_output=True, text=True, cwd=tmp_path)
    assert shown.returncode == 0
    assert shown.stderr.splitlines() == [
        "hwnas: t.yaml: 11 of its 11 networks take 0.0011 × the sum of their ops: µs for ms in its ops? "
        "Mend the unit, or profile again"
    ]


def test_a_prediction_of_no_time_is_an_error(table: LatencyTable, small_space: ChainSpace) -> None:
    """A calibration without networks to hold it against, as that of merged tables."""
    assert table.calibration is not None
    merged = replace(table, calibration=table.calibration.model_copy(update={"fixed_ms": -1e6}))
    predictor = LatencyPredictor(merged, small_space)
    with pytest.raises(TableError, match=r"arch 0,0,0,0,0,0 takes -1e\+06 ms, which can't be; profile again"):
        predictor([0] * 6)
    with pytest.raises(TableError):
        predictor.interval(small_space.sample(3, seed=0))
    assert predictor(small_space.sample(0, seed=0)).shape == (0,)
