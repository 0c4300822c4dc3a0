"""Whatever standard output and error are, a verb ends with its exit status and without a traceback."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from hwnas.cli.console import print_result
from hwnas.cli.main import main
from hwnas.progress import ProgressBars, say
from tests.cli.conftest import Flow

HWNAS = f"{sys.executable} -m hwnas"


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What bash makes of it, in a folder."""
    command = f'set -o pipefail; hwnas() {{ {HWNAS} "$@"; }}; {command}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=folder)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done


@pytest.mark.parametrize(
    ("command", "status", "told"),
    [
        ("hwnas --help | head -1", 0, ""),
        ("hwnas space show scarlet-s2 --json | head -c 5", 0, ""),
        ("hwnas count scarlet-a 2>&- <&- | grep -q multiply-adds", 0, ""),
        ("hwnas count scarlet-a 2>&- >&- <&-", 2, ""),
        ("hwnas count scarlet-a >&-", 2, "standard output is closed; send it to a file, or to /dev/null"),
        ("hwnas -h >&-", 2, "standard output is closed"),
        ("hwnas count nope 2>/dev/full", 2, ""),
        ("hwnas count scarlet-a >/dev/full", 2, "can't write to standard output: No space left"),
        ("hwnas --help >/dev/full", 2, "can't write to standard output: No space left"),
        ("hwnas table >/dev/full", 2, "can't write to standard output: No space left"),
        ("hwnas --version >/dev/full", 2, "can't write to standard output: No space left"),
        ("hwnas count $'\\xff.json'", 2, "isn't utf-8 text; rename"),
        (
            "mkdir $'/tmp/\\xff.'$$; cd $'/tmp/\\xff.'$$; hwnas count scarlet-a; s=$?; rmdir \"$PWD\"; exit $s",
            2,
            "isn't utf-8",
        ),
    ],
)
def test_streams(command: str, status: int, told: str, tmp_path: Path) -> None:
    done = shell(command, tmp_path)
    assert done.returncode == status, done
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == bool(told)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_of_few_letters(
    flow: Flow, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """Of every verb that prints a table, a bar or a remark."""
    arch = f"{flow.space}:0,0,0,0,0,0"
    (tmp_path / "ü.json").write_text('{"space": "macro", "choices": [0, 0, 0, 0, 0, 0, 0, 0]}')
    for words in [
        ["predict", "--table", flow.table, arch], ["table", "show", flow.table], ["space", "list"],
        ["space", "show", flow.space], ["bench", flow.artifact], ["artifact", "check", flow.artifact],
        ["report", flow.search, "-o", tmp_path / "r.html"], ["train", "absent-ü‿.yaml"], ["search", "--help"],
        ["count", tmp_path / "ü.json"], ["count", tmp_path / "ü.json", "--json"],
    ]:  # fmt: skip
        written = [io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2)]
        monkeypatch.setattr("sys.argv", ["hwnas", *map(str, words)])
        monkeypatch.setattr("sys.stdout", written[0])
        monkeypatch.setattr("sys.stderr", written[1])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = (stream.buffer.getvalue().decode(encoding) for stream in written if stream.flush() is None)  # type: ignore[attr-defined]
        assert (caught.value.code or 0) == (2 if words[0] == "train" else 0), (out, err)
        assert out or err
        if words[:2] == ["table", "show"] and encoding == "ascii":
            assert "ms +-" in out
            assert "?" not in out
        if words[-1] == "--json":
            assert json.loads(out)["madds"] > 0


def test_no_terminal_obeys_what_a_file_holds(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "on an evil\x1b[31m\x9b2J café"
    print_result({}, False, evil, "  two\n  lines")
    assert capsys.readouterr().out == "on an evil\\x1b[31m\\x9b2J café\n  two\n  lines\n"
    print_result({"device": evil}, True)
    out = capsys.readouterr().out
    assert "\x9b" not in out
    assert json.loads(out) == {"device": evil}
    with ProgressBars() as progress:
        progress("measure", 1, 1, evil)
    say(evil)
    assert capsys.readouterr().err == (
        "measure: 1/1  on an evil\\x1b[31m\\x9b2J café\non an evil\\x1b[31m\\x9b2J café\n"
    )
