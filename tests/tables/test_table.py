"""Table files: what is written is read back; whatever is wrong is named with file, entry and field."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwnas.errors import TableError
from hwnas.space.chain import ChainSpace
from hwnas.tables.table import AddedNetwork, Latency, LatencyTable, MeasuredNetwork
from tests.tables.make import calibration, latency, made_up_table


def test_round_trip(small_space: ChainSpace, tmp_path: Path) -> None:
    network = MeasuredNetwork(choices=(0, 1, 2, 3, 0, 1), **latency(2.5).model_dump())
    plain = made_up_table(small_space)
    failing = next(op for op in plain.ops if op not in small_space.graph(network.choices).ops)
    table = replace(
        plain,
        ops={op: latency for op, latency in plain.ops.items() if op != failing},
        networks=(network,),
        held_out=((network, network), (network, network)),
        added=(
            AddedNetwork(**network.model_dump(), stabilizers=True, drift=1.03, started="2026-11-22T09:00:00+00:00"),
        ),
        failed={failing: "no such kernel: ünsupported"},
        calibration=calibration(scale=0.91, per_op_ms=-0.01).model_copy(update={"networks": 2}),
    )
    path = tmp_path / "table.yaml"
    table.save(path)
    assert LatencyTable.load(path) == table
    assert LatencyTable.load(path).to_yaml() == path.read_text()


def test_a_plain_safe_loader_reads_it_too(small_space: ChainSpace) -> None:
    data = yaml.safe_load(made_up_table(small_space).to_yaml())
    assert data["schema"] == "hwnas-latency-table/2"
    assert all("p50_ms" in entry for entry in data["ops"])


def _set(path: str, value: Any) -> Any:
    def change(data: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for key in parents:
            data = data[int(key)] if key.isdigit() else data[key]
        data[int(last) if last.isdigit() else last] = value

    return change


def _drop(key: str) -> Any:
    return lambda data: data.pop(key)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_drop("device"), "device: Field required"),
        (_drop("protocol"), "either a protocol .* or a provenance"),
        (_drop("ops"), "ops: Field required"),
        (_set("ops", []), "ops: "),
        (_set("schema", "other/2"), "schema"),
        (_set("schema", "hwnas-latency-table/1"), "has schema hwnas-latency-table/1, .* profile again"),
        (_set("extra", 1), "extra"),
        (_set("device.threads", 0), r"device\.threads"),
        (_set("ops.3.p50_ms", float("nan")), r"ops\.3\.p50_ms"),
        (_set("ops.3.p50_ms", -1.0), r"ops\.3\.p50_ms"),
        (_set("ops.3.p50_ms", 0), r"ops\.3\.p50_ms"),
        (_set("ops.3.p50_ms", "1.0"), r"ops\.3\.p50_ms"),
        (_set("ops.3.p50_ms", True), r"ops\.3\.p50_ms"),
        (_set("ops.3.p50_ms", 99.0), r"ops\.3.*p10 ≤ p50 ≤ p90"),
        (_set("ops.3.p50", 1.0), r"ops\.3: unknown key .p50.; did you mean .p50_ms"),
        (_set("ops.3.count", 0), r"ops\.3\.count"),
        (_set("ops.3.op.kernel", -3), r"ops\.3\.op"),
        (_set("ops.3.op.kind", "swin"), r"ops\.3\.op: unknown op kind"),
        (_set("ops.3.op", "mbconv_3_16"), r"ops\.3\.op"),
        (_set("networks", [{"choices": [1, -2]}]), r"networks\.0"),
        (_set("calibration", {"scale": 0.0, "error_90": 0.1, "networks": 3}), r"calibration\.scale"),
    ],
)
def test_mistakes_name_entry_and_field(small_space: ChainSpace, tmp_path: Path, change: Any, words: str) -> None:
    data = yaml.safe_load(made_up_table(small_space).to_yaml())
    change(data)
    path = tmp_path / "table.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(TableError, match=words) as caught:
        LatencyTable.load(path)
    assert "table.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_second_entry_for_an_op(small_space: ChainSpace, tmp_path: Path) -> None:
    data = yaml.safe_load(made_up_table(small_space).to_yaml())
    data["ops"].append(dict(data["ops"][2]))
    path = tmp_path / "table.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(TableError, match="a second entry"):
        LatencyTable.load(path)


def test_a_key_twice(small_space: ChainSpace, tmp_path: Path) -> None:
    path = tmp_path / "table.yaml"
    path.write_text(made_up_table(small_space).to_yaml().replace("count: 10}", "count: 10, count: 11}", 1))
    with pytest.raises(TableError, match="stands twice"):
        LatencyTable.load(path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(start=st.integers(0, 3000), length=st.integers(0, 80), junk=st.text(max_size=12))
def test_damaged_files_are_refused_or_whole(
    small_space: ChainSpace, tmp_path: Path, start: int, length: int, junk: str
) -> None:
    """A file with a piece replaced is either refused with one line or still a table of positive latencies."""
    text = made_up_table(small_space).to_yaml()
    path = tmp_path / "table.yaml"
    path.write_text(text[:start] + junk + text[start + length :], encoding="utf-8", errors="surrogatepass")
    problem = None
    entries: list[Latency] = []
    try:
        entries = list(LatencyTable.load(path).ops.values())
    except TableError as error:
        problem = str(error)
    assert "\n" not in (problem or "")
    assert problem or all(0 < entry.p10_ms <= entry.p50_ms <= entry.p90_ms for entry in entries)


def test_drift_says_how_far_another_network_may_be_from_it(small_space: ChainSpace) -> None:
    """Networks whose ratios differ by a known spread: nine in ten of new ones are in the interval."""
    rng = np.random.default_rng(0)
    networks = tuple(
        MeasuredNetwork(choices=tuple(arch), **latency(2.0).model_dump())
        for arch in small_space.sample(8, seed=0).tolist()
    )
    table = replace(made_up_table(small_space), networks=networks)
    held, trials = 0, 2000
    for ratios in 1.2 * np.exp(0.02 * rng.standard_normal((trials, 9))):
        drift = table.drift({n.choices: 2.0 * ratio for n, ratio in zip(networks, ratios[:8], strict=True)})
        assert drift is not None
        assert drift.error_90 is not None
        held += abs(ratios[8] / drift.ratio - 1) <= drift.error_90
    assert held / trials == pytest.approx(0.9, abs=0.02)
    assert table.drift({}) is None
    assert table.drift({n.choices: 3.0 for n in networks[:2]}) == (1.5, None)
    assert table.drift({n.choices: 3.0 for n in networks[:3]}) == (1.5, pytest.approx(0.0))
