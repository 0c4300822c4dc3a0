"""The log of a training: a line per epoch in ``log.jsonl``, and the same for TensorBoard if wanted."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

from hwnas.errors import CheckpointError, RuntimeMissingError
from hwnas.files import validated, write_atomic
from hwnas.records.train import LogLine

_FILE = "log.jsonl"


def write_log(run: Path, entry: LogLine) -> None:
    """Add an epoch's line, in place of any of this or a later epoch (of a run that was killed)."""
    path = run / _FILE
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if json.loads(line)["epoch"] < entry.epoch]
    write_atomic(path, "".join(f"{line}\n" for line in [*kept, json.dumps(entry.plain(), allow_nan=False)]))


def read_log(run: Path) -> list[LogLine]:
    """The lines of a run; none where no epoch was finished.

    Raises:
        CheckpointError: one of them isn't hwnas's.
    """
    path = run / _FILE
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            data = json.loads(line)
        except ValueError as error:
            raise CheckpointError(f"{path}: line {number} isn't JSON: {error}") from None
        found.append(validated(LogLine, data, f"{path}: line {number}", CheckpointError))
    return found


class Board:
    """Writes ``RUN/tensorboard``; a context manager, so that the last lines aren't lost.

    Args:
        run: the run folder.
        wanted: where false, nothing is written and the package isn't needed.

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

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
