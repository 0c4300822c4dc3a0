"""The demo, as a person runs it, with less of everything."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

from hwnas.artifacts.bundle import load_artifact
from hwnas.records.demo import StepsRecord
from tests.cli.guides import parse


def test_fast_demo(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "hwnas", "demo", "--fast", "--json", "-o", "a demo"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert {"front", "artifact", "report", "predicted_ms", "measured_ms"} <= found.keys()
    assert found["accuracy"] >= 0.97
    assert all(point["latency_ms"] <= found["budget_ms"] for point in found["front"])
    folder = tmp_path / "a demo"
    artifact = load_artifact(folder / "artifact")
    assert artifact.manifest.accuracy["test"] == found["accuracy"]
    assert artifact.manifest.files[0].parity.inputs == "images of digits"
    steps = StepsRecord.read(folder / "steps.json").steps
    assert len(steps) == 8
    for step in steps:
        parse(shlex.split(step.command))
    assert "--networks 8 --confidence 0.01 --seconds 3.0 -o 'a demo/table.yaml'" in steps[0].command
    assert len(re.findall("^measuring: 100/100", result.stderr, re.MULTILINE)) == 2  # profiling, and the bench
    page = (folder / "report.html").read_text("utf-8")
    assert found["arch"] in page
    for section in ("search", "winner", "answers", "latency", "training", "artifact", "next", "how"):
        assert f'<section id="{section}">' in page
    assert "measuring" in result.stderr  # plain progress lines where there is no terminal
