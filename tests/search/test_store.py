"""The store: exact, shared, and clear about what it can't do."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwnas.errors import InputError, OutputError
from hwnas.search import store as store_module
from hwnas.search.store import Store
from hwnas.space.yaml import get_space
from tests.search.problems import ALL_MACRO, MACRO

_ROOT = Path(__file__).parents[2]


def _open(path: Path, evaluator: str = "a") -> Store:
    return Store(path, MACRO, evaluator)


@given(st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0))
def test_values_come_back_to_the_last_bit(value: float) -> None:
    with Store.memory(MACRO) as store:
        assert store.put(ALL_MACRO[5], "x", value, 0.1).hex() == value.hex()
        assert (store.get(ALL_MACRO[5], "x") or 0.0).hex() == value.hex()


def test_values_are_kept_by_arch_and_objective_and_survive_closing(tmp_path: Path) -> None:
    with _open(tmp_path / "s.db") as store:
        store.put(ALL_MACRO[0], "x", 1.5, 0.1)
        store.put(ALL_MACRO[0], "y", 2.5, 0.1)
        store.put(ALL_MACRO[1], "x", 3.5, 0.1)
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
        assert one.put(ALL_MACRO[0], "x", 1.0, 0.1) == 1.0
        assert two.put(ALL_MACRO[0], "x", 2.0, 0.1) == 1.0


def test_the_file_can_be_read_without_hwnas(tmp_path: Path) -> None:
    with _open(tmp_path / "s.db") as store:
        store.put(ALL_MACRO[5], "x", 1.5, 0.25)
    with closing(sqlite3.connect(tmp_path / "s.db")) as database:
        ((choices, objective, value, seconds, finished_at),) = database.execute("SELECT * FROM evaluation")
    assert (choices, objective, value, seconds) == ("[0, 0, 0, 0, 0, 0, 1, 2]", "x", 1.5, 0.25)
    assert finished_at.endswith("+00:00")


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
        for row in range(300):
            store.put(ALL_MACRO[row], "x", 1.0, 0.1)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(InputError) as error, _open(path) as store:
        store.get(ALL_MACRO[7], "x")
    _refused(error, path, "malformed")


def test_a_folder_that_isnt_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as error:
        _open(tmp_path / "nowhere" / "s.db")
    _refused(error, tmp_path / "nowhere" / "s.db", "unable to open")


def test_a_locked_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_LOCK_WAIT_S", 0.05)
    path = tmp_path / "s.db"
    with _open(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for use in (
            lambda: store.get(ALL_MACRO[0], "x"),
            lambda: store.put(ALL_MACRO[0], "x", 1.0, 0.1),
            lambda: _open(path),
        ):
            with pytest.raises(OutputError) as error:
                use()
            _refused(error, path, "locked")
        other.execute("ROLLBACK")
        assert store.put(ALL_MACRO[0], "x", 1.0, 0.1) == 1.0


@pytest.mark.parametrize(("pragma", "said"), [("query_only = ON", "readonly"), ("max_page_count = 1", "full")])
def test_a_store_that_cant_be_written(tmp_path: Path, pragma: str, said: str) -> None:
    """SQLite's own switches give the errors of a read-only file and of a full disk."""
    with _open(tmp_path / "s.db") as store:
        store._database.execute(f"PRAGMA {pragma}")
        with pytest.raises(OutputError) as error:
            store.put(ALL_MACRO[0], "x" * 5000, 1.0, 0.1)  # a page is 4 kB
    _refused(error, tmp_path / "s.db", said)


_WRITER = """
import sys
import numpy as np
from hwnas.search.store import Store
from hwnas.space.yaml import get_space
space = get_space("macro")
with Store(sys.argv[1], space, "a") as store:
    for row, number in enumerate(range(0, 6400, 80)):
        arch = number // 3 ** np.arange(7, -1, -1) % 3
        store.put(arch, "x", float(row), 0.0)
        store.put(arch, sys.argv[2], float(row), 0.0)
"""


def test_several_processes_share_a_store(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    command = [sys.executable, "-c", _WRITER, str(path)]
    writers = [subprocess.Popen([*command, name], cwd=_ROOT) for name in ("p", "q", "r")]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    with _open(path) as store:
        assert len(store) == 4 * 80
