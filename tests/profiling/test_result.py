"""What came back from a device: taken in only if it is whole, of this space and possible."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwnas.errors import HwnasError, KitError, TableError
from hwnas.flow.table import import_table
from hwnas.profiling import kit_main
from hwnas.profiling.kit import Kit
from hwnas.profiling.kit_file import seal
from hwnas.profiling.returned import read_result
from hwnas.space.chain import ChainSpace
from tests.profiling.kits import small_kit


@pytest.fixture(scope="session")
def returned(tiny: ChainSpace, tmp_path_factory: pytest.TempPathFactory) -> tuple[Kit, Path]:
    """A kit and its result, measured by this process."""
    folder = tmp_path_factory.mktemp("returned")
    kit = small_kit(tiny, seconds=0.2)
    (folder / "kit.pyz").write_bytes(kit.data)
    assert kit_main.main(str(folder / "kit.pyz"), ["-o", str(folder / "result.json")]) == 0
    return kit, folder / "result.json"


@pytest.fixture
def result(returned: tuple[Kit, Path]) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(returned[1].read_bytes())
    return data


def refused(path: Path, content: str | bytes) -> str:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(HwnasError) as caught:
        read_result(path)
    assert caught.value.exit_status == 2
    message = str(caught.value)
    assert "\n" not in message
    return message


def resealed(data: dict[str, Any]) -> str:
    data["sha256"] = seal(data)
    return json.dumps(data)


def test_a_result_is_a_table(returned: tuple[Kit, Path], tiny: ChainSpace, result: dict[str, Any]) -> None:
    kit, path = returned
    found = read_result(path)
    assert (found.kit_sha256, found.remarks) == (kit.sha256, ())
    assert found.table.get_space() == tiny
    for op, entry in zip(tiny.distinct_ops, result["entries"], strict=False):
        assert found.table.ops[op].model_dump() == entry
    first, again = found.table.held_out[0]
    assert list(first.choices) == list(again.choices) == result["kit"]["plan"]["held_out"][0]
    assert again.p50_ms == result["entries"][-5]["p50_ms"]


def test_spelling_does_not_matter_to_the_seal(
    result: dict[str, Any], tmp_path: Path, returned: tuple[Kit, Path]
) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(result, sort_keys=True))
    assert read_result(path) == read_result(returned[1])


def test_results_that_were_edited_or_cut(returned: tuple[Kit, Path], tmp_path: Path) -> None:
    path, whole = tmp_path / "r.json", returned[1].read_bytes()
    data = json.loads(whole)
    p50_ms = f'"p50_ms": {data["entries"][0]["p50_ms"]}'.encode()
    assert "was edited, or damaged" in refused(path, whole.replace(p50_ms, p50_ms + b"1", 1))
    assert "was edited, or damaged" in refused(path, whole.replace(b'"threads": 1', b'"threads": 2'))
    for cut in (0, 1, len(whole) // 2, len(whole) - 3):
        assert "isn't JSON" in refused(path, whole[:cut])
    del data["sha256"]
    assert "was edited, or damaged" in refused(path, json.dumps(data))
    assert "isn't what python KIT.pyz -o RESULT writes" in refused(path, "[]")
    with pytest.raises(KitError, match="can't read"):
        read_result(tmp_path / "absent")


Edit = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda r: r.update(schema="hwnas-result/9"), "schema 'hwnas-result/9'"),
        (lambda r: r.pop("kit"), "was edited"),
        (lambda r: r["kit"].update(schema="hwnas-kit/1"), "has schema hwnas-kit/1, this hwnas reads hwnas-kit/4"),
        (lambda r: r["kit"]["models"].pop(), "has 48 models for 49 entries"),
        (lambda r: r["entries"].pop(), "has 48 entries, its plan has 49"),
        (lambda r: r["kit"]["plan"]["ops"].append(r["kit"]["plan"]["ops"][0]), "an entry is there twice"),
        (lambda r: r["kit"]["plan"]["space"].update(fingerprint="0" * 64), "the space scarlet-tiny isn't what it was"),
        (lambda r: r["kit"]["plan"]["space"].update(source="scarlet-s1"), "the space scarlet-s1 isn't what it was"),
        (lambda r: r["kit"]["plan"]["space"].update(source="no"), "no space 'no'"),
        (lambda r: r["kit"]["plan"]["ops"][1].update(c_out=17), "another scarlet-tiny than there is here"),
        (lambda r: r["kit"]["plan"]["networks"].append([99] * 8) or r["entries"].append(r["entries"][-1]) or
            r["kit"]["models"].append(r["kit"]["models"][-1]), "choice"),
        (lambda r: r["kit"]["plan"]["effort"].pop("runs_per_round"), "plan.effort"),
        (lambda r: r["device"].update(runtime="openvino"), "was measured with openvino, the plan asks for onnxruntime"),
        (lambda r: r["entries"][0].update(p50_ms=-1.0), "entries.0"),
        (lambda r: r["entries"][0].update(p10_ms=1e6), "p10 ≤ p50 ≤ p90"),
        (lambda r: r["entries"][0].update(p50_ms="1"), "entries.0"),
        (lambda r: r.update(started="yesterday"), "started"),
        (lambda r: r.update(started="2026-01-01T00:00:00"), "started"),
        (lambda r: r.update(surprise=1), "surprise"),
        (lambda r: [e.update(failed="no") or [e.pop(k) for k in list(e) if k != "failed"] for e in r["entries"]],
            "could run none of the plan's 35 ops"),
        (lambda r: [e.update({k: e[k] * 1e3 for k in ("p10_ms", "p50_ms", "p90_ms")}) for e in r["entries"]],
            "its clock can't be right"),
    ],
)  # fmt: skip
def test_results_that_do_not_fit(result: dict[str, Any], tmp_path: Path, edit: Edit, reason: str) -> None:
    """Sealed again, as somebody who means it could: each part is checked, not only the seal."""
    edit(result)
    assert reason in refused(tmp_path / "r.json", resealed(result))


@pytest.mark.parametrize("year", [1970, 2099])
def test_a_wrong_wall_clock_is_remarked(result: dict[str, Any], tmp_path: Path, year: int) -> None:
    result["started"] = f"{year}-01-01T00:00:00+00:00"
    (tmp_path / "r.json").write_text(resealed(result))
    found = read_result(tmp_path / "r.json")
    assert found.remarks == (f"by the device's own clock it was {year}-01-01; durations don't depend on that",)


def test_an_op_that_failed_there(result: dict[str, Any], tiny: ChainSpace, tmp_path: Path) -> None:
    result["entries"][2] = {"failed": "no such operator"}
    (tmp_path / "r.json").write_text(resealed(result))
    table = read_result(tmp_path / "r.json").table
    assert table.failed == {tiny.distinct_ops[2]: "no such operator"}
    assert tiny.distinct_ops[2] not in table.ops


def test_networks_that_have_nothing_to_do_with_their_ops(result: dict[str, Any], tmp_path: Path) -> None:
    """Told before a table is written that nobody could load."""
    for number, network in enumerate(result["entries"][len(result["kit"]["plan"]["ops"]) :]):
        network.update({key: network[key] * 30.0 ** (number % 3 - 1) for key in ("p10_ms", "p50_ms", "p90_ms")})
    result["seconds"] = 1e6
    (tmp_path / "r.json").write_text(resealed(result))
    with pytest.raises(TableError, match=r"r.json: calibration .* profile again"):
        import_table(tmp_path / "r.json", tmp_path / "t.yaml")
    assert not (tmp_path / "t.yaml").exists()
