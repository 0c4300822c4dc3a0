"""`hwnas bench`: what it prints of what was measured, and what it refuses."""

from __future__ import annotations

import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from hwnas.cli.bench import lines
from hwnas.records.bench import BenchCell, BenchRecord
from tests.cli.conftest import Flow
from tests.cli.run import Shell

PARITY = {
    "max_abs": 0.1, "max_relative": 6.9e-3, "cosine": 1.0, "sqnr_db": None, "top1_agreement": 1.0,
    "images": 8, "inputs": "x",
}  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def row(target: str, runtime: str, p50_ms: float, **more: Any) -> dict[str, Any]:
    return {
        "artifact": "[bold]a", "target": target, "runtime": runtime, "threads": 1, "batch": 1, "precision": "fp32",
        "p50_ms": p50_ms, "p10_ms": 0.9 * p50_ms, "p90_ms": 1.1 * p50_ms, "count": 40, "confidence_95": 0.012,
        "images_per_s": 1000 / p50_ms, "bytes": 26_800_000, "parity": PARITY, "precisions": {"fp32": 86},
        "memory_mb": 83.4, "predicted_ms": None, **more,
    }  # fmt: skip


def result(*rows: dict[str, Any], as_fast: tuple[int, ...] = (), **more: Any) -> BenchRecord:
    best = {**cell(rows[0]), "p50_ms": rows[0]["p50_ms"], "as_fast": [cell(rows[index]) for index in as_fast]}
    told = {"lacking": [], "drift": None, "confidence_95": 0.02, "unsteadiness_90": 0.05}
    plain = {"schema": BenchRecord.SCHEMA, "results": list(rows), "fastest": [best], **told, **more}
    return BenchRecord.of_plain(plain, "bench")


def cell(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in BenchCell.model_fields}


def printed(found: BenchRecord) -> list[str]:
    return lines(found, io.StringIO())


def test_one_table_with_all_that_was_asked_for() -> None:
    slower = row("onnx-fp32", "onnxruntime", 9.947, parity=None, precisions={}, memory_mb=None, confidence_95=None)
    head, first, second, fastest, steady = printed(result(row("openvino-bf16", "openvino", 5.915), slower))
    assert head.split() == [
        "target", "runtime", "batch", "threads", "p50", "ms", "±", "p10", "ms", "p90", "ms", "images/s",
        "MB", "memory", "MB", "differs", "same", "class", "computes", "in",
    ]  # fmt: skip
    assert first.split() == [
        "openvino-bf16", "openvino", "1", "1", "5.915", "1.2%", "5.324", "6.507", "169.1",
        "26.80", "83", "6.9e-03", "100.0%", "fp32", "86",
    ]  # fmt: skip
    assert second.split()[5:] == ["–", "8.952", "10.942", "100.5", "26.80", "–", "–", "–", "–"]
    assert fastest.endswith("openvino-bf16 on openvino, 5.915 ms; 1.68 × as fast as onnx-fp32 on onnxruntime")
    assert "±2.0%" in steady


def test_columns_are_aligned_and_plain_where_nobody_looks() -> None:
    found = result(row("a", "x", 5.0), row("a-long-name", "y", 12345.678), row("b", "x", 99999.0, predicted_ms=1.5))
    table = printed(found)[:4]
    assert len({line.index(word) for line, word in zip(table, ("runtime", "x ", "y ", "x "), strict=True)}) == 1
    assert all("\x1b" not in line for line in printed(found))
    assert table[3].endswith("1.500")
    assert any("\x1b[" in line for line in lines(found, Terminal()))


@pytest.mark.parametrize("width", [60, 80, 120, 300])
def test_on_a_terminal_a_wide_table_becomes_several_that_fit(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    found = result(row("openvino-bf16", "openvino", 5.0), row("onnx-fp32", "onnxruntime", 9.9, predicted_ms=1.5))
    folded = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines(found, Terminal())]
    heads = [index for index, line in enumerate(folded) if line.startswith("target")]
    table = folded[: heads[-1] + 3]
    assert max(map(len, table)) <= width
    assert len(heads) > 1 or width == 300
    whole = {word for line in printed(found)[:3] for word in line.split()}
    assert {word for line in table for word in line.split()} == whole  # nothing is lost, no cell cut
    assert {line.split()[0] for line in table} == {"target", "openvino-bf16", "onnx-fp32"}


def test_what_is_within_the_noise_and_what_couldnt_run_is_said() -> None:
    near = row("near", "x", 5.01)
    lacking = [{**cell(row("gpu", "tensorrt", 1.0, batch=batch)), "lacks": "no [red]GPU"} for batch in (1, 8)]
    text = printed(result(row("best", "x", 5.0), near, as_fast=(1,), lacking=lacking, drift=1.25))
    assert "within the noise of it near on x" in text[3]
    assert text[4] == "gpu on tensorrt can't be timed here: no [red]GPU"
    assert "1.250 ×" in text[5]
    assert "nothing else ran" in printed(result(row("best", "x", 5.0)))[2]


def test_artifacts_are_named_where_there_are_several() -> None:
    other = row("onnx-fp32", "x", 6.0, artifact="b")
    assert "[bold]a" not in "".join(printed(result(row("onnx-fp32", "x", 5.0))))
    text = printed(result(row("onnx-fp32", "x", 5.0), other))
    assert text[1].startswith("[bold]a")
    assert "fast as b onnx-fp32 on x" in text[3]


@pytest.mark.usefixtures("quick")
def test_conditions_and_runtimes_are_given_again(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    found = hwnas("bench", flow.artifact, "--all-runtimes", "--table", flow.table, "--json").json
    assert {r["runtime"] for r in found["results"]} == {"onnxruntime", "openvino", "torch"}
    for each in found["results"]:
        assert each["p10_ms"] <= each["p50_ms"] <= each["p90_ms"]
        assert each["parity"]["max_relative"] < 1e-4
        assert each["memory_mb"] is None or each["memory_mb"] > 0
        assert (each["predicted_ms"] is not None) == (each["runtime"] == "onnxruntime")  # as the table's
    assert [(best["batch"], best["threads"]) for best in found["fastest"]] == [(1, 1)]
    assert found["drift"] > 0
    shutil.copytree(flow.artifact, tmp_path / "work" / "artifact")
    (tmp_path / "work" / "bench.json").write_text(json.dumps(found))
    assert hwnas("report", tmp_path / "work", "-o", tmp_path / "report.html").status == 0
    assert (tmp_path / "report.html").read_text("utf-8").count('<b class="good">fastest</b>') == 1
    altered = tmp_path / "altered"
    shutil.copytree(flow.artifact, altered)
    manifest = json.loads((altered / "manifest.json").read_text())
    manifest["files"][0]["settings"]["runtime"] = "nothing"
    (altered / "manifest.json").write_text(json.dumps(manifest))
    text = hwnas("bench", flow.artifact, altered, "--batch", 1, "--batch", 4)
    assert text.status == 0
    assert re.findall(r"onnxruntime +(\d)", text.out)[:2] == ["1", "4"]
    assert "altered onnx-fp32 on nothing can't be timed here: no runtime 'nothing'" in text.out
    assert "no file can be timed" in hwnas.refused("bench", altered)


@pytest.mark.parametrize(
    ("words", "told"),
    [(["--batch", "0"], "batch"), (["--threads", "0"], "threads"), (["--runtime", "ncn"], "runs on ncn")],
)
def test_wrong_requests(hwnas: Shell, flow: Flow, words: list[str], told: str) -> None:
    assert told in hwnas.refused("bench", flow.artifact, *words)
