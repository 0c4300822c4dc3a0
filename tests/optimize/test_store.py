"""The store: exact, shared, and clear about what it can't do."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.arrays import Archs
from hwnas.errors import HwnasWarning, InputError, OutputError
from hwnas.optimize import database as database_module
from hwnas.optimize.store import Store, StoredSearch
from hwnas.space.registry import get_space
from hwnas.workers.base import Done, Failed
from tests.optimize.problems import ALL_MACRO, MACRO

_ROOT = Path(__file__).parents[2]


def _open(path: Path, evaluator: str = "a") -> Store:
    return Store(path, MACRO, evaluator)


def _begin(store: Store, **changed: Any) -> StoredSearch:
    return store.begin(**{"strategy": "random", "seed": 1, "settings": "{}", "tables": {}} | changed)


def _done(value: float) -> Done:
    return Done(0, value, 0.25, "a host")


def _put(store: Store, arch: Archs, objective: str, value: float) -> float:
    kept = _begin(store).keep(arch, objective, _done(value), {})
    assert isinstance(kept, float)
    return kept


@given(st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0))
def test_values_come_back_to_the_last_bit(value: float) -> None:
    with Store.memory(MACRO) as store:
        assert _put(store, ALL_MACRO[5], "x", value).hex() == value.hex()
        assert (store.get(ALL_MACRO[5], "x") or 0.0).hex() == value.hex()


def test_values_are_kept_by_arch_and_objective_and_survive_closing(tmp_path: Path) -> None:
    with _open(tmp_path / "s.db") as store:
        _put(store, ALL_MACRO[0], "x", 1.5)
        _put(store, ALL_MACRO[0], "y", 2.5)
        _put(store, ALL_MACRO[1], "x", 3.5)
        assert store.get(ALL_MACRO[1], "y") is None
    with _open(tmp_path / "s.db") as store:
        assert len(store) == 3
        assert [store.get(ALL_MACRO[0], "x"), store.get(ALL_MACRO[0], "y"), store.get(ALL_MACRO[1], "x")] == [
            1.5,
            2.5,
            3.5,
        ]
    assert [path.name for path in tmp_path.iterdir()] == ["s.db"]  # no journal left


def test_the_first_value_counts(tmp_path: Path) -> None:
    with _open(tmp_path / "s.db") as one, _open(tmp_path / "s.db") as two:
        assert _put(one, ALL_MACRO[0], "x", 1.0) == 1.0
        assert _put(two, ALL_MACRO[0], "x", 2.0) == 1.0


def test_a_failure_is_its_searchs_own_and_no_value(tmp_path: Path) -> None:
    failed = Failed(0, "RuntimeError: no", 0.5, "a host")
    with _open(tmp_path / "s.db") as store:
        one, two = _begin(store), _begin(store)
        assert one.keep(ALL_MACRO[0], "x", failed, {}) == "RuntimeError: no"
        assert one.known(ALL_MACRO[0], "x") == "RuntimeError: no"
        assert two.known(ALL_MACRO[0], "x") is store.get(ALL_MACRO[0], "x") is None
        assert two.keep(ALL_MACRO[0], "x", _done(1.5), {}) == 1.5
        assert one.known(ALL_MACRO[0], "x") == "RuntimeError: no"  # as it went on from there
        assert two.known(ALL_MACRO[0], "x") == _begin(store).known(ALL_MACRO[0], "x") == 1.5
        assert len(store) == 1


def test_what_is_resumed_is_the_latest_search_of_the_same_settings_that_wasnt_given_up(tmp_path: Path) -> None:
    def failed(store: Store, resume: bool = True, **changed: Any) -> Any:
        return _begin(store, resume=resume, **changed).known(ALL_MACRO[0], "x")

    def fail(record: StoredSearch, reason: str) -> StoredSearch:
        record.keep(ALL_MACRO[0], "x", Failed(0, reason, 0.5, "a host"), {})
        return record

    with _open(tmp_path / "s.db") as store:
        fail(_begin(store, resume=True), "first")
        assert failed(store) == "first"
        second = fail(_begin(store), "second")
    with _open(tmp_path / "s.db") as store:
        assert failed(store) == "second"
        assert failed(store, resume=False) is None  # and is now the latest
        assert failed(store) is None
        for other in ({"seed": 2}, {"strategy": "nsga2"}, {"settings": "[]"}):
            assert failed(store, **other) is None
        third = fail(_begin(store), "third")
        third.give_up()
        assert failed(store) is None
    assert second is not third


def test_the_file_can_be_read_without_hwnas(tmp_path: Path) -> None:
    with _open(tmp_path / "s.db") as store:
        record = _begin(store, tables={"latency_ms": "abc"})
        record.keep(ALL_MACRO[5], "x", _done(1.5), {"latency_ms": 7.25})
        record.keep(ALL_MACRO[6], "x", Failed(0, "RuntimeError: no", 0.5, "another host"), {})
    with closing(sqlite3.connect(tmp_path / "s.db")) as database:
        database.row_factory = sqlite3.Row
        good, bad = map(dict, database.execute("SELECT * FROM everything"))
    assert good.pop("finished_at").endswith("+00:00")
    assert good == {
        "choices": "[0, 0, 0, 0, 0, 0, 1, 2]", "objective": "x", "value": 1.5, "error": None,
        "free": '{"latency_ms": 7.25}', "seconds": 0.25, "host": "a host", "search": 1, "strategy": "random", "seed": 1,
        "tables": '{"latency_ms": "abc"}', "space": MACRO.fingerprint, "evaluator": "a",
    }  # fmt: skip
    assert (bad["value"], bad["error"], bad["host"]) == (None, "RuntimeError: no", "another host")


def _refused(error: pytest.ExceptionInfo[Exception], path: Path, *parts: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    for part in (str(path), *parts):
        assert part in message


def test_a_store_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    _open(path, "supernet 1").close()
    with pytest.raises(InputError) as error:
        _open(path, "supernet 2")
    _refused(error, path, "supernet 1", "supernet 2")
    with pytest.raises(InputError) as error:
        Store(path, get_space("macro", resolution=64), "supernet 1")
    _refused(error, path, "another space")


@pytest.mark.parametrize("version", [0, 1, 3])
def test_a_store_of_another_version_is_refused(tmp_path: Path, version: int) -> None:
    path = tmp_path / "s.db"
    _open(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(InputError) as error:
        _open(path)
    _refused(error, path, f"version {version}", "remove it")


def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_text("hello, this is a letter and no database at all\n" * 50)
    before = path.read_bytes()
    with pytest.raises(InputError) as error:
        _open(path)
    _refused(error, path, "not a database")
    assert path.read_bytes() == before

    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE mine (x)")
    before = other.read_bytes()
    with pytest.raises(InputError) as error:
        _open(other)
    _refused(error, other, "no store")
    assert other.read_bytes() == before


def test_a_damaged_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with _open(path) as store:
        record = _begin(store)
        with store._database.transaction():
            for row in range(300):
                record.keep(ALL_MACRO[row], "x", _done(1.0), {})
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(InputError) as error, _open(path) as store:
        store.get(ALL_MACRO[7], "x")
    _refused(error, path, "malformed")


@pytest.mark.parametrize("name", [":memory:", "file:s.db", "file:///tmp/s.db?mode=memory", ":x", ""])
def test_names_that_mean_something_else_to_sqlite(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (name, *([Path(name)] if name else [])):
        with pytest.raises(InputError, match=r"a store is a file, .* is none; choose another"):
            Store(path, MACRO, "a")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(InputError, match="a store is a file"):
            _open(path)


@pytest.mark.parametrize("value", ["'nine'", "x'00ff'", "9e999", "-9e999"])
def test_a_value_that_is_no_number_is_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "s.db"
    with _open(path) as store:
        _put(store, ALL_MACRO[5], "accuracy", 0.5)
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"UPDATE evaluation SET value = {value}")
        database.commit()
    with _open(path) as store:
        for use in (
            lambda: store.get(ALL_MACRO[5], "accuracy"),
            lambda: _begin(store).known(ALL_MACRO[5], "accuracy"),
            lambda: _put(store, ALL_MACRO[5], "accuracy", 0.25),
        ):
            with pytest.raises(InputError) as error:
                use()
            _refused(error, path, "as accuracy of arch [0, 0, 0, 0, 0, 0, 1, 2], which is no finite number", "--store")


@pytest.mark.parametrize("statement", ["DELETE FROM key", "INSERT INTO key SELECT * FROM key"])
def test_a_store_that_says_not_once_what_it_is_of(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "s.db"
    _open(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()
    with pytest.raises(InputError) as error:
        _open(path)
    _refused(error, path, "what it is a store of: it was damaged")


@pytest.mark.parametrize(
    ("script", "odd"),
    [
        ("CREATE TRIGGER better AFTER INSERT ON evaluation BEGIN UPDATE evaluation SET value = 0.99; END", "'better'"),
        (
            "DROP TABLE key; CREATE VIEW key AS WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i FROM n) "
            "SELECT i AS space, i AS evaluator FROM n",
            "'key'",
        ),
        ("DROP TABLE batch", "missing"),
        ("CREATE INDEX mine ON evaluation (host)", "'mine'"),
    ],
)
def test_a_store_of_another_schema_is_refused(tmp_path: Path, script: str, odd: str) -> None:
    """What a view never ends to say, or a trigger makes of values, isn't asked."""
    path = tmp_path / "s.db"
    _open(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.executescript(script)
    with pytest.raises(InputError) as error:
        _open(path)
    _refused(error, path, "isn't as hwnas makes a store", odd, "--store")


@pytest.mark.parametrize("seed", [2**63, 2**64, 10**400, -1, 1.5, True])
def test_seeds_that_no_store_holds(tmp_path: Path, seed: Any) -> None:
    with _open(tmp_path / "s.db") as store:
        with pytest.raises(InputError, match=f"seed must be an integer from 0 to {2**63 - 1}"):
            _begin(store, seed=seed)
        assert _begin(store, seed=2**63 - 1).known(ALL_MACRO[0], "x") is None


def test_a_folder_that_isnt_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as error:
        _open(tmp_path / "nowhere" / "s.db")
    _refused(error, tmp_path / "nowhere" / "s.db", "unable to open")


def test_a_locked_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody is told soon, while it waits; and what it waited for is done."""
    assert database_module._LOCK_WAIT_S <= 5
    monkeypatch.setattr(database_module, "_LOCK_WAIT_S", 0.05)
    monkeypatch.setattr(database_module, "_LOCK_WAITS", 2)
    path = tmp_path / "s.db"
    with _open(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for use in (
            lambda: store.get(ALL_MACRO[0], "x"),
            lambda: _put(store, ALL_MACRO[0], "x", 1.0),
            lambda: _open(path),
        ):
            with pytest.raises(OutputError) as error, pytest.warns(HwnasWarning, match="another program holds the sto"):
                use()
            _refused(error, path, "locked", "another program holds it")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = lambda *_, **__: other.execute("ROLLBACK")
            assert _put(store, ALL_MACRO[0], "x", 1.0) == 1.0


@pytest.mark.parametrize(("pragma", "said"), [("query_only = ON", "readonly"), ("max_page_count = 1", "full")])
def test_a_store_that_cant_be_written(tmp_path: Path, pragma: str, said: str) -> None:
    """SQLite's own switches give the errors of a read-only file and of a full disk."""
    with _open(tmp_path / "s.db") as store:
        store._database.execute(f"PRAGMA {pragma}")
        with pytest.raises(OutputError) as error:
            _put(store, ALL_MACRO[0], "x" * 5000, 1.0)  # a page is 4 kB
    _refused(error, tmp_path / "s.db", said)


_WRITER = """
import sys
import numpy as np
from hwnas.optimize.store import Store
from hwnas.space.registry import get_space
from hwnas.workers.base import Done
space = get_space("macro")
with Store(sys.argv[1], space, "a") as store:
    record = store.begin("random", 1, "{}", {})
    for row, number in enumerate(range(0, 6400, 160)):
        arch = number // 3 ** np.arange(7, -1, -1) % 3
        record.keep(arch, "x", Done(0, float(row), 0.0, "here"), {})
        record.keep(arch, sys.argv[2], Done(0, float(row), 0.0, "here"), {})
"""


def test_several_processes_share_a_store(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    command = [sys.executable, "-c", _WRITER, str(path)]
    writers = [subprocess.Popen([*command, name], cwd=_ROOT) for name in ("p", "q", "r")]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    with _open(path) as store:
        assert len(store) == 4 * 40


_LIMITED_WRITER = """
import resource, signal, sys
from pathlib import Path
from hwnas.errors import OutputError
from hwnas.optimize.store import Store
from hwnas.space.registry import get_space
from hwnas.workers.base import Done
space = get_space("macro")
archs = space.sample(2000, 0)
with Store(sys.argv[1], space, "a") as store:
    record = store.begin("random", 1, "{}", {})
    if sys.argv[2] == "limited":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write past the limit is an error, as on a full disk
        limit = Path(sys.argv[1]).stat().st_size + 20_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    for row, arch in enumerate(archs):
        try:
            record.keep(arch, str(row), Done(0, float(row), 0.0, "here"), {})
        except OutputError as error:
            print(row, error)
            break
"""


def _fill(path: Path, how: str) -> tuple[int, str]:
    """Writes until there is no room; how many were kept, and what was said then."""
    command = [sys.executable, "-c", _LIMITED_WRITER, str(path), how]
    kept, _, said = subprocess.check_output(command, cwd=_ROOT, text=True, timeout=60).rstrip("\n").partition(" ")
    return int(kept), said


def _check_full(path: Path, how: str, remedy: str) -> None:
    kept, said = _fill(path, how)
    assert kept > 10
    assert said.startswith(f"can't use the store {path}: ")
    assert remedy in said
    assert "\n" not in said
    archs = MACRO.sample(2000, 0)
    with _open(path) as store:  # what was kept before is whole
        assert len(store) == kept
        assert [store.get(archs[row], str(row)) for row in range(kept)] == list(range(kept))


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    _check_full(tmp_path / "s.db", "limited", "go on with --resume")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("can't mount a tmpfs here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True, capture_output=True)


def test_a_full_disk(small_disk: Path) -> None:
    _check_full(small_disk / "s.db", "unlimited", "make room and go on with --resume")


def test_a_read_only_disk(small_disk: Path) -> None:
    _open(small_disk / "s.db").close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True, capture_output=True)
    for name in ("s.db", "new.db"):
        with pytest.raises(OutputError) as error:
            _open(small_disk / name)
        _refused(error, small_disk / name, "--store")
