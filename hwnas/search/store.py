"""`Store`: an SQLite file with every evaluation, written as it finishes, so that a killed search can go on.

A search resumes by replay: run again with the same seed it asks for the same archs in the same order, and the store
answers those that were evaluated before. So its result is the same to the last byte as if it had never stopped.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from hwnas.errors import InputError, OutputError
from hwnas.space.space import Archs, Space

_APPLICATION_ID = 0x68776E73  # "hwns", in the file's header: tells a store from any other SQLite file
_LOCK_WAIT_S = 30.0
_KEY_TABLE = "CREATE TABLE key (space TEXT NOT NULL, evaluator TEXT NOT NULL)"
_EVALUATION_TABLE = """
    CREATE TABLE evaluation (
        choices TEXT NOT NULL,       -- a JSON list of choice indices
        objective TEXT NOT NULL,
        value REAL NOT NULL,         -- in the objective's own sign and unit; 8 bytes, exact
        seconds REAL NOT NULL,       -- how long the evaluation took
        finished_at TEXT NOT NULL,   -- UTC, ISO 8601
        PRIMARY KEY (choices, objective)
    ) WITHOUT ROWID
"""


class Store:
    """Values of objectives that aren't free, by arch and objective; one row and one commit for each evaluation.

    SQLite's rollback journal with full synchronisation keeps every committed row through a kill or a power cut,
    on any file system, and lets several processes share the file: of two that evaluate the same, the first counts.
    """

    def __init__(self, path: Path | str, space: Space, evaluator: str) -> None:
        """Open a store, or begin one where no file is.

        Args:
            path: the file; its folder must exist.
            space: whose archs are evaluated.
            evaluator: what gives the values, such as a supernet's hash and the name of the data set. A store
                that was begun with another space or evaluator is refused, since its values are of something else.

        Raises:
            InputError: the file isn't a store, or is one of another space or evaluator.
            OutputError: the file can't be opened, written or locked.
        """
        self._path = str(path)
        self.space = space
        self.evaluator = evaluator
        with self._errors_explained():
            self._database = sqlite3.connect(self._path, timeout=_LOCK_WAIT_S, isolation_level=None)
        try:
            with self._errors_explained():
                self._database.execute("PRAGMA synchronous = FULL")
                self._database.execute("BEGIN IMMEDIATE")  # two processes may begin the same store
                self._begin_or_check()
                self._database.execute("COMMIT")
        except BaseException:
            self._database.close()
            raise

    @staticmethod
    def memory(space: Space, evaluator: str = "") -> Store:
        """A store without a file, which lasts as long as the object."""
        return Store(":memory:", space, evaluator)

    def get(self, arch: Archs, objective: str) -> float | None:
        """The value of an arch (L,), or None when it hasn't been evaluated.

        Raises:
            InputError: the file was damaged.
            OutputError: the file can't be read or locked.
        """
        query = "SELECT value FROM evaluation WHERE choices = ? AND objective = ?"
        with self._errors_explained():
            row = self._database.execute(query, (_as_text(arch), objective)).fetchone()
        return None if row is None else float(row[0])

    def put(self, arch: Archs, objective: str, value: float, seconds: float) -> float:
        """Keep a finite value of an arch (L,), and return the one that counts: an earlier one, if there is one.

        Raises:
            InputError: the file was damaged.
            OutputError: the file can't be written or locked, or the disk is full.
        """
        row = (_as_text(arch), objective, value, seconds, datetime.now(UTC).isoformat(timespec="seconds"))
        with self._errors_explained():
            self._database.execute("INSERT OR IGNORE INTO evaluation VALUES (?, ?, ?, ?, ?)", row)
        kept = self.get(arch, objective)
        assert kept is not None
        return kept

    def __len__(self) -> int:
        """How many values it holds."""
        with self._errors_explained():
            return int(self._database.execute("SELECT count(*) FROM evaluation").fetchone()[0])

    def close(self) -> None:
        """Give the file free. Rows are safe without it."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin_or_check(self) -> None:
        (identifier,) = self._database.execute("PRAGMA application_id").fetchone()
        (tables,) = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not identifier and not tables:
            self._database.execute(_KEY_TABLE)
            self._database.execute(_EVALUATION_TABLE)
            self._database.execute("INSERT INTO key VALUES (?, ?)", (self.space.fingerprint, self.evaluator))
            self._database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            return
        if identifier != _APPLICATION_ID:
            raise InputError(f"{self._path} is an SQLite file but no store of evaluations; choose another file")
        space, evaluator = self._database.execute("SELECT space, evaluator FROM key").fetchone()
        if space != self.space.fingerprint:
            raise InputError(f"{self._path} holds evaluations of another space than {self.space.name}; choose another")
        if evaluator != self.evaluator:
            raise InputError(
                f"{self._path} holds evaluations by {evaluator!r}, not by {self.evaluator!r}; choose another file"
            )

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as problem:  # locked, read-only, full, no such folder
            raise OutputError(f"can't use the store {self._path}: {problem}") from None
        except sqlite3.DatabaseError as problem:  # not a database, malformed
            raise InputError(f"{self._path} isn't a usable store: {problem}") from None


def _as_text(arch: Archs) -> str:
    return json.dumps(arch.tolist())
