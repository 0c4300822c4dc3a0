"""The page about Python runs, with less of everything, in a folder of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

import hwnas
from hwnas.records.search import SearchRecord
from tests.extending.plugins import blocks


def test_the_whole_flow_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("in-python.md")
    for asked, enough in {"seconds=5": "seconds=1", "epochs=2": "epochs=1", "evaluations=30": "evaluations=8"}.items():
        assert asked in code
        code = code.replace(asked, enough)
    names: dict[str, object] = {}
    exec(compile(code, "in-python.md", "exec"), names)
    found = names["found"]
    assert isinstance(found, SearchRecord)
    assert found.winner is not None
    artifact = hwnas.load_artifact(tmp_path / "artifact")
    assert artifact.arch == found.winner
    assert str(found.winner) in (tmp_path / "report.html").read_text("utf-8")
