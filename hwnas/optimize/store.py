"""`Store`: an SQLite file with every evaluation, written as it finishes: nothing is evaluated twice.

A search resumes by replay: begun again with the same settings it asks for the same archs in the same order, and the
store answers those that were evaluated before. So its result is the same to the last byte as if it had never stopped.
That the course is the same (the archs, and the state of the random generator) is checked on the way.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from hwnas.arrays import Archs
from hwnas.errors import InputError, shown, whole
from hwnas.optimize.database import Database
from hwnas.space.space import Space
from hwnas.workers.base import Done, Failed

_APPLICATION_ID = 0x68776E73  # "hwns", in the file's header: tells a store from any other SQLite file
_VERSION = 2  # another one where a letter of these changes: a store that differs is refused
_SCHEMA = (
    "CREATE TABLE key (space TEXT NOT NULL, evaluator TEXT NOT NULL)",
    """
    CREATE TABLE search (
        id INTEGER PRIMARY KEY,
        settings TEXT NOT NULL,      -- JSON: all that decides its course
        strategy TEXT NOT NULL,
        seed INTEGER NOT NULL,
        tables TEXT NOT NULL,        -- JSON: what objectives come from, by objective; such as a latency table's hash
        host TEXT NOT NULL,
        begun_at TEXT NOT NULL,      -- UTC, ISO 8601
        given_up INTEGER NOT NULL    -- 1 where too many evaluations failed
    )
    """,
    """
    CREATE TABLE evaluation (
        choices TEXT NOT NULL,       -- a JSON list of choice indices
        objective TEXT NOT NULL,
        value REAL,                  -- in the objective's own sign and unit; 8 bytes, exact; NULL where it failed
        error TEXT,                  -- why it failed
        free TEXT NOT NULL,          -- JSON: what the free objectives say of the arch, by name
        seconds REAL NOT NULL,       -- how long the evaluation took
        finished_at TEXT NOT NULL,   -- UTC, ISO 8601
        host TEXT NOT NULL,          -- where it was evaluated
        search INTEGER NOT NULL REFERENCES search (id),
        CHECK ((value IS NULL) <> (error IS NULL))
    )
    """,
    "CREATE UNIQUE INDEX value_of ON evaluation (choices, objective) WHERE error IS NULL",
    "CREATE UNIQUE INDEX failure_of ON evaluation (choices, objective, search) WHERE value IS NULL",
    """
    CREATE TABLE batch (
        search INTEGER NOT NULL REFERENCES search (id),
        evaluations INTEGER NOT NULL,    -- archs evaluated before it
        course TEXT NOT NULL,            -- hash of those archs and of the random generator's state
        PRIMARY KEY (search, evaluations)
    ) WITHOUT ROWID
    """,
    """
    CREATE VIEW everything AS
    SELECT choices, objective, value, error, free, seconds, finished_at, evaluation.host,
        search, strategy, seed, tables, space, evaluator
    FROM evaluation JOIN search ON search.id = evaluation.search JOIN key ORDER BY evaluation.rowid
    """,
)


class Store:
    """Values of objectives that aren't free, by arch and objective; one row and one commit for each evaluation.

    Searches share what succeeded; of two processes that evaluate the same, the first counts. What failed belongs to
    its search, and another search tries anew. All methods raise an InputError where the file was damaged, and an
    OutputError where it can't be used.
    """

    def __init__(self, path: Path | str | None, space: Space, evaluator: str) -> None:
        """Open a store, or begin one where no file is.

        Args:
            path: the file; its folder must exist. None is :meth:`memory`.
            space: whose archs are evaluated.
            evaluator: what gives the values, such as a supernet's hash and the name of the data set. A store
                that was begun with another space or evaluator is refused, since its values are of something else.

        Raises:
            InputError: the file isn't a store, or is one of another space, evaluator or version of hwnas.
            OutputError: the file can't be opened, written or locked, or the disk is full.
        """
        if path is not None:
            special = str(path).startswith((":", "file:")) or not str(path)  # to SQLite memory, or an address
            if special or (Path(path).exists() and not Path(path).is_file()):
                what = "a folder" if Path(path).is_dir() and not special else "none"
                raise InputError(f"a store is a file, {str(path)!r} is {what}; choose another (--store)")
        self.space = space
        self.evaluator = evaluator
        self._database = Database(":memory:" if path is None else str(path))
        try:
            with self._database.transaction():  # two processes may begin the same store
                self._begin_or_check()
        except BaseException:
            self._database.close()
            raise

    @staticmethod
    def memory(space: Space, evaluator: str = "") -> Store:
        """A store without a file, which lasts as long as the object."""
        return Store(None, space, evaluator)

    def begin(
        self, strategy: str, seed: int, settings: str, tables: Mapping[str, str], *, resume: bool = False
    ) -> StoredSearch:
        """Enter a search.

        Args:
            strategy: its name.
            seed: of all its random draws.
            settings: all that decides its course.
            tables: what its objectives come from, by name.
            resume: go on with the latest search of the same strategy, seed and settings, if there is one that
                wasn't given up.
        """
        same = "SELECT max(id) FROM search WHERE (strategy, seed, settings) = (?, ?, ?) AND NOT given_up"
        anew = "INSERT INTO search VALUES (NULL, ?, ?, ?, ?, ?, ?, 0) RETURNING id"
        seed = whole("seed", seed)
        with self._database.transaction():
            ((search,),) = self._database.execute(same, (strategy, seed, settings)) if resume else [(None,)]
            if search is None:
                row = (settings, strategy, seed, json.dumps(dict(tables)), platform.node(), _now())
                ((search,),) = self._database.execute(anew, row)
        return StoredSearch(self._database, search)

    def get(self, arch: Archs, objective: str) -> float | None:
        """The value of an arch (L,), or None when it hasn't been evaluated, or never with success."""
        return _value(self._database, _as_text(arch), objective)

    def __len__(self) -> int:
        """How many values it holds."""
        ((count,),) = self._database.execute("SELECT count(*) FROM evaluation WHERE error IS NULL")
        return int(count)

    def close(self) -> None:
        """Give the file free. Rows are safe without it."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin_or_check(self) -> None:
        path, execute = self._database.path, self._database.execute
        ((identifier,),), ((version,),) = execute("PRAGMA application_id"), execute("PRAGMA user_version")
        ((tables,),) = execute("SELECT count(*) FROM sqlite_master")
        if not identifier and not tables:
            for statement in _SCHEMA:
                execute(statement)
            execute("INSERT INTO key VALUES (?, ?)", (self.space.fingerprint, self.evaluator))
            execute(f"PRAGMA user_version = {_VERSION}")
            execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            return
        remedy = "remove it, or choose another file (--store)"
        if identifier != _APPLICATION_ID:
            raise InputError(f"{path} is an SQLite file but no store of evaluations; choose another file (--store)")
        if version != _VERSION:
            raise InputError(f"{path} is a store of version {version}, this hwnas has version {_VERSION}; {remedy}")
        # A view or a trigger of somebody's own would stand in for what is kept, or alter it.
        held = execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL LIMIT ?", (len(_SCHEMA) + 1,))
        ours = {" ".join(statement.split()) for statement in _SCHEMA}
        odd = [name for name, sql in held if " ".join(str(sql).split()) not in ours]
        if odd or len(held) != len(ours):
            see = shown(odd[0]) if odd else "what is missing"
            raise InputError(f"{path} isn't as hwnas makes a store, see {see}: it was altered; {remedy}")
        keys = execute("SELECT space, evaluator FROM key LIMIT 2")
        if len(keys) != 1:
            raise InputError(
                f"{path} says {'twice' if keys else 'nowhere'} what it is a store of: it was damaged; {remedy}"
            )
        ((space, evaluator),) = keys
        if space != self.space.fingerprint:
            raise InputError(f"{path} holds evaluations of another space than {self.space.name}; {remedy}")
        if evaluator != self.evaluator:
            raise InputError(f"{path} holds evaluations by {evaluator!r}, not by {self.evaluator!r}; {remedy}")
        execute(f"PRAGMA user_version = {_VERSION}")  # so that a file that can't be written is refused now


class StoredSearch:
    """What a store knows for one search; :meth:`Store.begin` makes it."""

    def __init__(self, database: Database, search: int) -> None:
        self._database, self._search = database, search

    def known(self, arch: Archs, objective: str) -> float | str | None:
        """What is known of an arch (L,): its value, or why it failed in this search, or None."""
        text = _as_text(arch)
        failure = "SELECT error FROM evaluation WHERE (choices, objective, search) = (?, ?, ?) AND value IS NULL"
        for (reason,) in self._database.execute(failure, (text, objective, self._search)):
            return str(reason)
        return _value(self._database, text, objective)

    def keep(self, arch: Archs, objective: str, outcome: Done | Failed, free: Mapping[str, float]) -> float | str:
        """Keep what an evaluation gave, and return what counts: an earlier value, this one, or why it failed.

        Args:
            arch: (L,).
            objective: its name.
            outcome: a finite number, or why it failed.
            free: what the free objectives say of the arch.
        """
        value, error = (float(outcome.value), None) if isinstance(outcome, Done) else (None, outcome.reason)
        text = _as_text(arch)
        row = (
            text, objective, value, error, json.dumps(dict(free)), outcome.seconds, _now(), outcome.host, self._search,
        )  # fmt: skip
        self._database.execute("INSERT OR IGNORE INTO evaluation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        counts = _value(self._database, text, objective) if error is None else error
        if counts is None:
            raise InputError(
                f"{self._database.path} doesn't keep what it is given: it was damaged; choose another (--store)"
            )
        return counts

    def check_course(self, evaluations: int, course: str) -> None:
        """Keep the course before a batch, or check that it is the one that was kept.

        Args:
            evaluations: archs evaluated before the batch.
            course: hash of these archs and of the random generator's state.

        Raises:
            InputError: the search takes another course than before.
        """
        row = (self._search, evaluations)
        self._database.execute("INSERT OR IGNORE INTO batch VALUES (?, ?, ?)", (*row, course))
        ((kept,),) = self._database.execute("SELECT course FROM batch WHERE (search, evaluations) = (?, ?)", row)
        if kept != course:
            raise InputError(
                f"the search can't be resumed: after {evaluations} evaluations it takes another course than before "
                "(another version of hwnas or NumPy, or a changed strategy or objective); search anew, with the same "
                "store nothing is evaluated twice"
            )

    def give_up(self) -> None:
        """Too many evaluations failed: if the search is resumed, they are tried anew."""
        self._database.execute("UPDATE search SET given_up = 1 WHERE id = ?", (self._search,))


def _value(database: Database, choices: str, objective: str) -> float | None:
    query = "SELECT value FROM evaluation WHERE choices = ? AND objective = ? AND error IS NULL"
    for (value,) in database.execute(query, (choices, objective)):
        if not isinstance(value, float) or not math.isfinite(value):
            raise InputError(
                f"{database.path} holds {value!r:.80} as {objective} of arch {choices}, which is no finite number: "
                "it was altered; remove it, or choose another file (--store)"
            )
        return value
    return None


def _as_text(arch: Archs) -> str:
    return json.dumps(arch.tolist())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
