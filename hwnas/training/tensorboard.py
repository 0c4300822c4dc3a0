"""The log of a training, for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from hwnas.errors import RuntimeMissingError


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

    def epoch(self, updates_done: int, entry: dict[str, Any]) -> None:
        """After an epoch: every number in ``entry``, the line of ``log.jsonl``, by its name."""
        if self._writer is not None:
            for name, value in _numbers("epoch", entry):
                self._writer.add_scalar(name, value, updates_done)
            self._writer.flush()


def _numbers(name: str, value: Any) -> list[tuple[str, float]]:
    if isinstance(value, dict):
        return [pair for key, inner in value.items() for pair in _numbers(f"{name}/{key}", inner)]
    return [(name, float(value))] if isinstance(value, int | float) else []
