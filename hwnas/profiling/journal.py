"""The journal beside a result: rounds that a kill, a full disk or a lost connection can't take.

One line each, a CRC before its JSON, on the disk before the next round begins. The first line names the kit and what
could not be run; a line that was cut short ends what counts.

Part of profiling kits: Python ≥ 3.8, standard library and numpy only.
"""

from __future__ import annotations

import json
import os
import re
import time
import zlib
from typing import TYPE_CHECKING

from hwnas.errors import DeviceError, KitError
from hwnas.profiling.timer import Round

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

try:
    import fcntl
except ImportError:  # Windows, which has no such locks: there nobody may start the same command twice at a time
    fcntl = None  # type: ignore[assignment]

_SCHEMA = "hwnas-journal/1"
_START = b' {"schema": "hwnas-journal/1"'  # of any journal, after its first line's CRC
_WAIT_S = 60
_MOST_NS = 1e18


class FileJournal:
    """Keeps rounds where the end of this process can't take them.

    Attributes:
        begun: what it was when the first process that kept rounds here began.

    Args:
        kit_sha256, device: what measures where; rounds of others don't mix with these.
        begun: plain values to keep.
        after_each: called after each round; may raise to stop.

    Raises:
        KitError: the journal is another kit's or another device's, or another process uses it.
        DeviceError: it can't be written.
    """

    def __init__(
        self,
        path: Path,
        kit_sha256: str,
        device: str,
        begun: dict[str, Any],
        after_each: Callable[[], None] | None = None,
    ) -> None:
        self._path = path
        self._after_each = after_each
        self.begun = begun
        self._header = {"schema": _SCHEMA, "kit": kit_sha256, "device": device}
        if path.exists() and not path.is_file():
            raise KitError(f"{path} isn't a journal that a kit wrote: it isn't a plain file; name another -o")
        try:
            self._file = open(str(path), "a+b", buffering=0)  # noqa: SIM115  (its lock lasts as long as it is open)
            _lock(self._file, path)
            self._file.seek(0)
            content = self._file.read()
        except OSError as problem:
            raise DeviceError(f"can't use {path}: {problem.strerror}") from None
        if not re.fullmatch(b"[0-9a-f]{0,8}", content[:8]) or not _START.startswith(content[8 : 8 + len(_START)]):
            raise KitError(f"{path} isn't a journal that a kit wrote; remove it, or name another -o")
        self._kept, self._end = _whole_lines(content)
        for what, here in (("kit", kit_sha256), ("device", device)):
            if self._kept and self._kept[0][what] != here:
                raise KitError(f"{path} is of another {what}; finish there, or remove it, or name another -o")

    @property
    def rounds(self) -> int:
        """That an earlier process kept."""
        return max(0, len(self._kept) - 1)

    @property
    def failed(self) -> dict[str, str]:
        """Entry (in digits) -> why an earlier process that kept rounds couldn't run it."""
        return dict(self._kept[0]["failed"]) if self.rounds else {}

    def resume(self, failed: dict[int, str]) -> tuple[list[Round], int | None]:
        """Rounds of an earlier process that could run the same entries, and which of them was its reference."""
        named = {str(index): reason for index, reason in failed.items()}
        if self.rounds and self._kept[0]["failed"].keys() == named.keys():
            self._file.truncate(self._end)
            self.begun = self._kept[0]["begun"]
            rounds = [Round(line["order"], line["runs_ns"], line["reference_ns"]) for line in self._kept[1:]]
            return rounds, int(self._kept[1]["reference"])
        self._file.truncate(0)
        self._append(dict(self._header, failed=named, begun=self.begun))
        return [], None

    def keep(self, done: Round, reference: int) -> None:
        self._append(dict(done._asdict(), reference=reference))
        if self._after_each:
            self._after_each()

    def remove(self) -> None:
        """Once the result is there."""
        self._file.close()
        self._path.unlink()

    def remove_if_empty(self) -> None:
        """When it ended before there was anything to keep."""
        if not self._path.stat().st_size:
            self.remove()

    def _append(self, data: dict[str, Any]) -> None:
        text = json.dumps(data).encode()
        rest = _crc(text) + b" " + text + b"\n"
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as problem:
            raise DeviceError(
                f"can't write {self._path}: {problem.strerror}; make room, then the same command goes on"
            ) from None


def _whole_lines(content: bytes) -> tuple[list[dict[str, Any]], int]:
    """Those before the first that is cut short or damaged, and where they end."""
    end = 0
    found: list[dict[str, Any]] = []
    for line in content.splitlines(True):
        crc, _, text = line.rstrip(b"\n").partition(b" ")
        if not line.endswith(b"\n") or crc != _crc(text):
            break
        try:
            data = json.loads(text.decode())
            fits = _is_round(data) if found else _is_header(data)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            fits = False
        if not fits:
            break
        found.append(data)
        end += len(line)
    return found, end


def _is_header(data: dict[str, Any]) -> bool:
    return all(isinstance(data[key], kind) for key, kind in (("failed", dict), ("begun", dict), ("kit", str)))


def _is_round(data: dict[str, Any]) -> bool:
    """Whether each entry is there once, with times."""
    order, runs_ns, reference_ns = data["order"], data["runs_ns"], data["reference_ns"]
    numbers = [number for runs in (reference_ns, *runs_ns) for number in (runs or [None])]
    return (
        len(order) == len(runs_ns) == len(reference_ns) - 1
        and sorted(order) == list(range(len(order)))
        and all(isinstance(number, (int, float)) and 0 < number < _MOST_NS for number in numbers)
        and data["reference"] in order
    )


def _crc(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)


def _lock(file: Any, path: Path) -> None:
    """Waits a while: a process whose connection was lost ends when it next wants to tell its progress."""
    if fcntl is None:
        return
    for seconds_left in range(_WAIT_S, -1, -1):
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if not seconds_left:
                raise KitError(f"another process is measuring with {path}; let it end first") from None
            time.sleep(1)
