"""An SQLite file, with errors that say what to do about them."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hwnas.errors import HwnasWarning, InputError, OutputError, first_line

_LOCK_WAIT_S = 3.0
_LOCK_WAITS = 10
_REMEDIES = {
    "SQLITE_BUSY": "another program holds it; end that one, or choose another file (--store)",
    "SQLITE_CANTOPEN": "check the path, or choose a file in a folder that can be written (--store)",
    "SQLITE_FULL": "make room and go on with --resume",
    "SQLITE_IOERR": "check the disk and the free space, and go on with --resume",
    "SQLITE_READONLY": "choose a file in a folder that can be written (--store)",
}


class Database:
    """A connection that commits each statement, unless a transaction is open.

    SQLite's rollback journal with full synchronisation keeps every committed row through a kill or a power cut, on
    any file system, and lets several processes share the file.

    Raises:
        InputError: the file is no SQLite file, or was damaged.
        OutputError: the file can't be opened, written or locked, or the disk is full.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._connection = sqlite3.connect(path, timeout=_LOCK_WAIT_S, isolation_level=None)
        except sqlite3.DatabaseError as problem:
            raise self._explained(problem) from None
        try:
            self.execute("PRAGMA synchronous = FULL")
        except BaseException:
            self.close()
            raise

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement."""
        waits = 0
        while True:
            try:
                return self._connection.execute(statement, values).fetchall()
            except (sqlite3.DatabaseError, UnicodeError) as problem:  # its own message may quote bytes of the file
                waits += 1
                if waits == _LOCK_WAITS or getattr(problem, "sqlite_errorname", "") != "SQLITE_BUSY":
                    raise self._explained(problem) from None
            wait = f"waits for it, {_LOCK_WAITS * _LOCK_WAIT_S:.0f} s at most"
            warnings.warn(f"another program holds the store {self.path}; {wait}", HwnasWarning, stacklevel=2)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside, or nothing; other processes wait meanwhile."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.rollback()
            raise

    def close(self) -> None:
        self._connection.close()

    def _explained(self, problem: Exception) -> InputError:
        if not isinstance(problem, sqlite3.OperationalError):  # not a database, malformed
            remedy = "choose another file (--store), or remove it if it was one"
            return InputError(f"{self.path} isn't a usable store: {first_line(problem)}; {remedy}")
        kind = "_".join(getattr(problem, "sqlite_errorname", "").split("_")[:2])  # locked, read-only, full, no folder
        remedy = f"; {_REMEDIES[kind]}" if kind in _REMEDIES else ""
        return OutputError(f"can't use the store {self.path}: {first_line(problem)}{remedy}")
