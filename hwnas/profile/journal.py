"""The journal beside a result: rounds that a kill, a full disk or a lost connection can't take.

One line each, a CRC before its JSON, on the disk before the next round begins. The first line names the kit and what
could not be run; a line that was cut short ends what counts.

Part of profiling kits: Python ≥ 3.8, standard library and numpy only.
"""

from __future__ import annotations

import json
import os
import zlib
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple

from hwnas.errors import DeviceError, KitError
from hwnas.profile.timer import Round

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

try:
    import fcntl
except ImportError:  # Windows, which has no such locks: there nobody may start the same command twice at a time
    fcntl = None  # type: ignore[assignment]

_SCHEMA = "hwnas-journal/1"


class FileJournal:
    """See :class:`hwnas.profile.run.Journal`.

    Attributes:
        begun: what ``begun`` was when the first process that kept rounds here began.

    Raises:
        KitError: the journal is another kit's, or another process uses it.
        DeviceError: it can't be written.
    """

    def __init__(self, path: Path, kit_sha256: str, begun: Dict[str, Any]) -> None:
        self._path = path
        self.begun = begun
        self._header = {"schema": _SCHEMA, "kit": kit_sha256}
        try:
            self._file = open(str(path), "a+b")  # noqa: SIM115  (open until the process ends, as its lock)
        except OSError as problem:
            raise DeviceError("can't write {}: {}".format(path, problem.strerror)) from None
        _lock(self._file, path)
        self._kept = self._lines()
        self.resumable = len(self._kept) - 1 if self._kept else 0
        if self._kept and {key: self._kept[0].get(key) for key in self._header} != self._header:
            raise KitError("{} is of another kit; finish with that one, or remove it, or name another -o".format(path))

    def resume(self, failed: Dict[int, str]) -> Tuple[List[Round], Optional[int]]:
        header = dict(self._header, failed={str(index): reason for index, reason in failed.items()}, begun=self.begun)
        if len(self._kept) > 1 and self._kept[0]["failed"].keys() == header["failed"].keys():
            self.begun = self._kept[0]["begun"]
            rounds = [Round(line["order"], line["runs_ns"], line["reference_ns"]) for line in self._kept[1:]]
            return rounds, int(self._kept[1]["reference"])
        self.resumable = 0
        self._cut(0)
        self._append(header)
        return [], None

    def keep(self, done: Round, reference: int) -> None:
        self._append(dict(done._asdict(), reference=reference))

    def remove(self) -> None:
        """Once the result is there."""
        self._file.close()
        self._path.unlink()

    def _lines(self) -> List[Dict[str, Any]]:
        """Those that are whole; the file is cut after them."""
        self._file.seek(0)
        found, end = [], 0
        for line in self._file:
            crc, _, text = line.rstrip(b"\n").partition(b" ")
            if not line.endswith(b"\n") or crc != _crc(text):
                break
            found.append(json.loads(text.decode()))
            end += len(line)
        self._cut(end)
        return found

    def _cut(self, end: int) -> None:
        self._file.truncate(end)
        self._file.seek(end)

    def _append(self, data: Dict[str, Any]) -> None:
        text = json.dumps(data).encode()
        try:
            self._file.write(_crc(text) + b" " + text + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as problem:
            raise DeviceError(
                "can't write {}: {}; make room, then the same command goes on".format(self._path, problem.strerror)
            ) from None


def _crc(text: bytes) -> bytes:
    return b"%08x" % zlib.crc32(text)


def _lock(file: Any, path: Path) -> None:
    if fcntl:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise KitError("another process is measuring with {}; let it end first".format(path)) from None
