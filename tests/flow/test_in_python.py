"""The page about Python runs as it stands, in a folder of one's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hwnas
from hwnas.records.search import SearchRecord
from tests.extending.plugins import blocks

ROOT = Path(__file__).parents[2]


def test_the_whole_flow_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("in-python.md")
    (tmp_path / "script.py").write_text(code)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports", "script.py"],
        cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "MYPYPATH": str(ROOT), "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache/scripts")},
    )  # fmt: skip
    assert "script.py:" not in checked.stdout, checked.stdout
    names: dict[str, object] = {}
    exec(compile(code, "in-python.md", "exec"), names)
    found = names["found"]
    assert isinstance(found, SearchRecord)
    assert found.winner is not None
    artifact = hwnas.load_artifact(tmp_path / "artifact")
    assert artifact.arch == found.winner
    assert str(found.winner) in (tmp_path / "report.html").read_text("utf-8")
