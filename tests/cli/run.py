"""Runs a verb in this process, as the shell would."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from hwnas.cli.main import main


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *words: object) -> Outcome:
        self._capsys.readouterr()
        self._monkeypatch.setattr("sys.argv", ["hwnas", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = self._capsys.readouterr()
        return Outcome(int(caught.value.code or 0), captured.out, captured.err)

    def refused(self, *words: object) -> str:
        """Runs what must be refused: exit 2, one line on standard error, nothing on standard output."""
        outcome = self(*words)
        assert outcome.status == 2, outcome
        assert outcome.out == ""
        lines = [line for line in outcome.err.splitlines() if line.startswith("hwnas: ")]
        assert len(lines) == 1, outcome.err
        assert "Traceback" not in outcome.err
        return lines[0]
