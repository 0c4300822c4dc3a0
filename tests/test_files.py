"""Files that attack, or aren't files: one typed line each, at once; and outputs that can't be written."""

from __future__ import annotations

import errno
import gzip
import os
import pickle
import resource
import socket
from pathlib import Path

import pytest

from hwnas.errors import ConfigError, DataError, HwnasError, OutputError, whole
from hwnas.files import (
    new_folder,
    plain_file,
    read_bytes,
    read_json,
    read_text,
    read_yaml,
    refuse_existing,
    to_json,
    validated,
    write_atomic,
)
from hwnas.ranking.truth import read_truth
from hwnas.record import Record
from hwnas.space.registry import get_space

_ROOT = Path(__file__).parents[1] / "hwnas"


def bomb(merge: str = "") -> str:
    """Nine aliases of nine aliases …: 9^12 values in a few hundred bytes."""
    first, rest = ("{k: 1}", "{{<<: [{}]}}") if merge else ("[x]", "[{}]")
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{i}: &a{i} {rest.format(', '.join([f'*a{i - 1}'] * 9))}" for i in range(1, 13)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(bomb(), "aliases stand for more values", id="bomb"),
        pytest.param(bomb("<<"), "aliases stand for more values", id="merged"),
        pytest.param("&a [*a]", "holds itself", id="cycle"),
        pytest.param("[" * 100_000, "nested deeper", id="flow"),
        pytest.param("- " * 50_000 + "x", "nested deeper", id="block"),
        pytest.param("n: " + "9" * 401, "a number of 401 digits", id="decimal"),
        pytest.param("n: 0x" + "f" * 100_000, "a number of 100002 digits", id="hex"),
        pytest.param("n: " + ":".join(["59"] * 50_000), "a number of", id="sexagesimal"),
        pytest.param("n: " + ":".join(["59"] * 50_000) + ".5", "a number of", id="sexagesimal-float"),
        pytest.param("n: !!bool maybe", "what its tag", id="bool"),
        pytest.param("n: !!timestamp soon", "what its tag", id="timestamp"),
        pytest.param('n: !!int ""', "what its tag", id="int"),
        pytest.param("n: 2001-99-99", "isn't usable YAML", id="date"),
        pytest.param('n: "a" \nm: 2\nn: 3', "'n' stands twice, again in line 3", id="twice"),
        pytest.param(
            "a: 1\n2020-01-01: 2", "line 2, column 1: the key 2020-01-01 is a date; write it in quotes", id="date-key"
        ),
        pytest.param("a: {!!binary aGVsbG8=: 2}", "line 1, column 5: the key aGVsbG8= is a bytes", id="bytes-key"),
        pytest.param("{" + "a, " * 20_000 + "}", "stands twice", id="one-key-often"),
    ],
)
def test_yaml_that_attacks(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason) as error:
        read_yaml(path, ConfigError)
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 500 + len(str(path))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(b"[" * 100_000, "isn't JSON", id="deep"),
        pytest.param(b" \n", "isn't JSON: the file is empty", id="empty"),
        pytest.param(b'{"n": 1' + b"0" * 400 + b"}", "a number of 401 digits", id="10^400"),
        pytest.param(b'{"a": 1, "a": 2}', "'a' stands twice", id="twice"),
        pytest.param(b'"\\ud800"', "isn't JSON", id="half-a-character"),
        pytest.param(b'"\xed\xa0\x80"', "isn't UTF-8", id="half-a-character-in-bytes"),
        pytest.param('"é"'.encode("utf-16"), "isn't UTF-8", id="utf-16"),
    ],
)
def test_json_that_attacks(text: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=reason):
        read_json(path, ConfigError)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: c: 2\n", "line 2, column 5: mapping values"),
        ("a: \x00", "position 3"),
        ("a: [1\n", "line 2, column 1: "),
    ],
)
def test_yaml_tells_the_place_once(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_yaml(path, ConfigError)
    assert told in str(error.value)
    assert "unicode string" not in str(error.value)
    assert (str(error.value).count("line "), str(error.value).count("position ")) in ((1, 0), (0, 1))


def test_keys_and_aliases_that_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("base: &base {x: 1}\nlist: [&own {<<: *base, x: 2}]\nlast: {<<: *own, y: 3}\n")
    found = read_yaml(path, ConfigError)
    assert found == {"base": {"x": 1}, "list": [{"x": 2}], "last": {"x": 2, "y": 3}}
    assert whole("n", int("9" * 18)) == int("9" * 18)


def test_many_keys(tmp_path: Path) -> None:
    """In a second or two; it was half a minute while each key was looked for among all before it."""
    path = tmp_path / "x.yaml"
    path.write_text("".join(f"k{i}: v\n" for i in range(60_000)))
    assert len(read_yaml(path, ConfigError)) == 60_000


class _Number(Record):
    x: float


@pytest.mark.parametrize("value", [10**400, 10**5000, -(10**5000)], ids=["400", "5000", "negative"])
def test_numbers_that_no_float_holds(value: int) -> None:
    with pytest.raises(ConfigError) as error:
        validated(_Number, {"x": value}, "here", ConfigError)
    assert len(str(error.value)) < 300
    with pytest.raises(HwnasError) as other:
        whole("seed", value)
    assert len(str(other.value)) < 300


def test_what_isnt_a_file_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
    for path, kind in [
        (tmp_path / "pipe.json", "a named pipe"),
        (Path("/dev/zero"), "a device"),
        (tmp_path / "socket", "a socket"),
        (tmp_path, "a folder"),
    ]:
        for read in (plain_file, read_bytes, read_text, read_json, read_yaml):
            with pytest.raises(ConfigError, match=f"it is {kind}, not a file"):
                read(path, ConfigError)
    for odd in (tmp_path / "a\0b", tmp_path / ("x" * 300), tmp_path / "absent"):
        with pytest.raises(ConfigError, match="can't read"):
            read_text(odd, ConfigError)


def test_nothing_else_opens_what_people_name() -> None:
    """JSON and YAML have one reader; what runs on devices has its own, without pydantic."""
    on_devices = {"profiling/kit_file.py", "profiling/journal.py", "runtimes/tensorrt_session.py"}
    inside_scripts = {"artifacts/predict_script.py"}
    for path in _ROOT.rglob("*.py"):
        name = path.relative_to(_ROOT).as_posix()
        if name not in {"parse.py"} | on_devices | inside_scripts:
            code = path.read_text("utf-8")
            assert "json.load" not in code, name
            assert "yaml.load" not in code, name
            assert "yaml.safe_load" not in code, name


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "truth.json.gz"
    path.write_bytes(gzip.compress(bytes(65 << 20)))
    with pytest.raises(DataError, match="would unpack to more than 64 MB"):
        read_truth(path, get_space("macro"))


@pytest.mark.parametrize("length", [200, 250, 255])
def test_long_names_can_be_written(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("é" * 20 + "x" * (length - 40))
    refuse_existing(path)
    write_atomic(path, "whole")
    assert path.read_text() == "whole"
    path.unlink()
    with new_folder(path) as folder:
        write_atomic(folder / "in it", "whole")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_names_that_cant_be_written_are_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    for path, why in [
        (tmp_path / ("x" * 256), "File name too long"),
        (tmp_path / ("x" * 256) / "y", "File name too long"),
        (tmp_path / "file" / "x", "Not a directory"),
        (tmp_path / "a\0b", "null byte"),
        (tmp_path / "link", "exists already, and is a link; choose another output"),
        (Path("/dev/null"), "exists already, and is a device; choose another output"),
    ]:
        with pytest.raises(OutputError, match=why):
            refuse_existing(path)


def test_a_full_disk_is_told_with_the_file_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for write in (lambda path: write_atomic(path, "x"), _in_new_folder):
        with pytest.raises(OutputError, match="No space left") as error:
            write(tmp_path / "model")
        assert f"can't write {tmp_path / 'model'}" in str(error.value)
        assert ".tmp" not in str(error.value)
        assert list(tmp_path.iterdir()) == []


def _in_new_folder(path: Path) -> None:
    with new_folder(path) as folder:
        write_atomic(folder / "weights", "x")


def test_a_name_that_isnt_utf8_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="isn't UTF-8"):
        write_atomic(tmp_path / "x.json", to_json({"table": os.fsdecode(b"t\xff.yaml")}))
    assert list(tmp_path.iterdir()) == []


def test_a_message_is_one_line_whatever_it_quotes() -> None:
    told = str(OutputError("can't write a\nb\r\x1b[2Jc\u2028d: 50 % of 3 × é…"))
    assert told == "can't write a b \\x1b[2Jc d: 50 % of 3 × é…"
    assert str(pickle.loads(pickle.dumps(OutputError(told)))) == told


def test_of_what_is_longer_than_any_name_a_message_tells_the_ends() -> None:
    told = str(ConfigError(f"can't reach {'a' * 10_000}.invalid: check {'b' * 299}"))
    assert told == f"can't reach {'a' * 150}…{'a' * 71}.invalid: check {'b' * 299}"


def test_what_grows_beyond_what_there_is_room_for_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OutputError, match=f"can't write {tmp_path / 'table.yaml'}: File too large"):
            write_atomic(tmp_path / "table.yaml", "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
