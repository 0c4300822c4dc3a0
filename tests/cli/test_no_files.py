"""Named pipes are no files, whatever reads them: a line at once, where opening one would wait for ever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.run import Shell


@pytest.mark.parametrize(
    "words",
    [
        "count pipe.json",
        "count pipe.json:0",
        "space show pipe.yaml",
        "table show pipe.yaml",
        "table import pipe.csv -o x",
        "table import pipe.json -o x",
        "artifact check pipe.zip",
        "artifact unzip pipe.zip -o x",
        "derive scarlet-a --checkpoint pipe.pth -o x",
        "train pipe.yaml -o x",
        "export scarlet-a --target pipe.yaml -o x",
        "predict --table pipe.yaml scarlet-a",
        "space feasible macro --table pipe.yaml:1",
        "report folder -o x",
        "bench folder",
    ],
)
def test_a_named_pipe(hwnas: Shell, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name in ("json", "yaml", "csv", "zip", "pth"):
        os.mkfifo(tmp_path / f"pipe.{name}")
    for name in ("manifest.json", "search.json"):
        os.mkfifo(tmp_path / "folder" / name)
    assert "is a named pipe, not a file" in hwnas.refused(*words.split())
    assert not (tmp_path / "x").exists()
