"""The log of a training: a line per epoch in ``log.jsonl``, and the same for TensorBoard if wanted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hwnas.errors import CheckpointError, RuntimeMissingError
from hwnas.files import read_text, validated, write_atomic
from hwnas.parse import parse_json
from hwnas.records.train import LogLine

_FILE = "log.jsonl"


def write_log(run: Path, entry: LogLine) -> None:
    """Add an epoch's line, in place of any of this or a later epoch (of a run that was killed)."""
    kept = [line for line, of in zip(_lines(run), read_log(run), strict=True) if of.epoch < entry.epoch]
    write_atomic(run / _FILE, "".join(f"{line}\n" for line in [*kept, json.dumps(entry.plain(), allow_nan=False)]))


def _lines(run: Path) -> list[str]:
    path = run / _FILE
    return read_text(path, CheckpointError).splitlines() if path.exists() else []


def read_log(run: Path) -> list[LogLine]:
    """The lines of a run; none where no epoch was finished.

    Raises:
        CheckpointError: one of them isn't hwnas's.
    """
    found = []
    for number, line in enumerate(_lines(run), start=1):
        where = f"{run / _FILE}: line {number}"
        found.append(validated(LogLine, parse_json(line, where, CheckpointError), where, CheckpointError))
    return found


class Board:
    """Writes ``RUN/tensorboard`` where it is ``wanted``; :meth:`close` it, so that the last lines aren't lost.

    Raises:
        RuntimeMissingError: the package isn't installed.
    """

    def __init__(self, run: Path, wanted: bool) -> None:
        self._writer: Any = None
        if wanted:
            try:
                from torch.utils.tensorboard import SummaryWriter  # slow to import, and seldom wanted
            except ImportError:
                raise RuntimeMissingError("tensorboard: true needs the package; pip install tensorboard") from None
            self._writer = SummaryWriter(str(run / "tensorboard"))

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def update(self, updates_done: int, loss: float, learning_rate: float) -> None:
        """After an update. A resumed training writes some again; TensorBoard shows the later ones."""
        if self._writer is not None:
            self._writer.add_scalar("loss", loss, updates_done)
            self._writer.add_scalar("learning_rate", learning_rate, updates_done)

    def epoch(self, updates_done: int, entry: LogLine) -> None:
        """After an epoch: every number of its line, by its name."""
        if self._writer is not None:
            for name, value in _numbers("epoch", entry.plain()):
                self._writer.add_scalar(name, value, updates_done)
            self._writer.flush()


def _numbers(name: str, value: Any) -> list[tuple[str, float]]:
    if isinstance(value, dict):
        return [pair for key, inner in value.items() for pair in _numbers(f"{name}/{key}", inner)]
    return [(name, float(value))] if isinstance(value, int | float) else []
