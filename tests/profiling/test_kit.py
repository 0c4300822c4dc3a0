"""Kits: what is in them, and that they measure on a bare Python, whatever happens to it."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vermin

from hwnas.errors import ConfigError, KitError, ModelError
from hwnas.profiling import journal, kit_main, machine
from hwnas.profiling.kit import RUNTIMES, SOURCES, Kit, build_kit
from hwnas.profiling.kit_file import KitFile
from hwnas.profiling.returned import read_result
from hwnas.profiling.timer import Effort, Round, measure
from hwnas.runtimes.onnxruntime import OnnxRuntime
from hwnas.space.chain import ChainSpace
from tests.interrupts import heed_ctrl_c
from tests.profiling.kits import ROOT, run_kit, small_kit, small_plan

Here = Callable[..., tuple[int, str]]
KIT_SOURCES = [*SOURCES, *(f"hwnas/runtimes/{name}.py" for name in RUNTIMES)]


def test_equal_plans_give_equal_bytes(kit: Kit, tiny: ChainSpace) -> None:
    assert small_kit(tiny).data == kit.data
    assert small_kit(tiny, seconds=3.0).sha256 != kit.sha256


def test_each_distinct_model_is_there_once_and_the_code_is_this_code(
    kit: Kit, kit_path: Path, tiny: ChainSpace
) -> None:
    with zipfile.ZipFile(kit_path) as archive:
        names = archive.namelist()
        models = json.loads(archive.read("kit.json"))["models"]
        for name in SOURCES:
            assert archive.read(name) == (ROOT / name).read_bytes()
        assert archive.read("hwnas/__init__.py") == b""
    whole = len(small_plan(tiny).networks)
    assert len(models) == kit.entries == len(tiny.distinct_ops) + whole + 2 * 5
    assert models[-5:] == models[-10:-5]  # both measurements of a held-out network
    assert len([name for name in names if name.startswith("models/")]) == len(tiny.distinct_ops) + whole + 5
    assert len(kit.data) < sum(model["bytes"] for model in models) / 2


@pytest.mark.parametrize("name", KIT_SOURCES)
def test_code_of_kits_is_python_3_8(name: str) -> None:
    source = (ROOT / name).read_text()
    ast.parse(source, feature_version=(3, 8))
    assert vermin.visit(source, vermin.Config()).minimum_versions()[1] <= (3, 8)


@pytest.mark.parametrize("name", ["models/0005.bin", "hwnas/profiling/timer.py", "kit.json"])
def test_a_kit_that_was_altered_does_not_measure(
    kit_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Packed again with other content, so that only its hash tells; a model like that isn't one that can't be run."""
    altered = tmp_path / "kit.pyz"
    with zipfile.ZipFile(kit_path) as old, zipfile.ZipFile(altered, "w", zipfile.ZIP_DEFLATED) as new:
        for file in old.infolist():
            content = old.read(file)
            changed = content.replace(b'"threads":1', b'"threads":[]') if name == "kit.json" else content[:-1] + b"!"
            new.writestr(file, changed if file.filename == name else content)
    assert kit_main.main(str(altered), ["-o", str(tmp_path / "r.json")]) == 2
    assert f"{name} was altered or damaged; copy the kit again" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["kit.pyz"]


def test_a_runtime_that_needs_more_has_no_kit(tiny: ChainSpace) -> None:
    class Other(OnnxRuntime):
        name = "torch"

    with pytest.raises(ConfigError, match="no kit for runtime torch, only for onnxruntime and openvino"):
        build_kit(small_plan(tiny), tiny, Other())


def test_a_bare_python_measures(device: Path, kit: Kit, kit_path: Path, tiny: ChainSpace, tmp_path: Path) -> None:
    for absent in ("hwnas", "torch", "onnx", "pydantic", "yaml"):
        command = [device, "-I", "-c", f"import {absent}"]
        assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 1
    checked = run_kit(device, kit_path, "--check", cwd=tmp_path)
    assert checked.status == 0, checked
    assert f"onnxruntime {OnnxRuntime().version()}" in checked.out
    assert f"{kit.entries} are to be measured" in checked.out
    ran = run_kit(device, kit_path, "-o", "result.json", cwd=tmp_path)
    assert ran.status == 0, ran
    assert "loading   100%" in ran.err
    assert "measuring" in ran.err
    assert sorted(os.listdir(tmp_path)) == ["result.json"]
    found = read_result(tmp_path / "result.json")
    assert found.kit_sha256 == kit.sha256
    assert set(found.table.ops) == set(tiny.distinct_ops)
    assert not found.table.failed
    assert len(found.table.held_out) == 5
    assert found.remarks == ()


def start_kit(device: Path, kit: Path, folder: Path) -> subprocess.Popen[bytes]:
    command = [device, kit, "-o", "result.json"]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, preexec_fn=heed_ctrl_c)


def wait_for_lines(path: Path, count: int, process: subprocess.Popen[bytes]) -> int:
    """Until the journal has so many lines; how many it has then."""
    while process.poll() is None:
        lines = path.read_bytes().count(b"\n") if path.exists() else 0
        if lines >= count:
            return lines
        time.sleep(0.005)
    raise AssertionError(f"ended before: {process.stderr and process.stderr.read()!r}")


def test_a_killed_kit_goes_on(device: Path, kit_path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "result.json.journal"
    lines = 0
    for more in (2, 1, 3):  # killed thrice, wherever it is then
        with start_kit(device, kit_path, tmp_path) as process:
            lines = wait_for_lines(kept, lines + more, process)
            process.send_signal(signal.SIGKILL)
    whole = kept.read_bytes()
    whole = whole[: whole.rindex(b"\n") + 1]
    kept.write_bytes(whole + b'0badc0de {"order": [3, 1')  # killed while it wrote
    started = json.loads(whole.split(b"\n")[0][9:])["begun"]["started"]
    ran = run_kit(device, kit_path, "-o", "result.json", cwd=tmp_path)
    assert ran.status == 0, ran
    rounds = whole.count(b"\n") - 1
    assert f"going on after {rounds} rounds" in ran.err
    assert not kept.exists()
    result = json.loads((tmp_path / "result.json").read_bytes())
    assert result["rounds"] > rounds >= 5
    assert result["started"] == started
    assert result["seconds"] >= 2
    counts = {entry["count"] for entry in result["entries"]}
    assert counts == {2 * result["rounds"]}
    read_result(tmp_path / "result.json")


def test_killed_while_the_first_line_is_written(device: Path, kit_path: Path, tmp_path: Path) -> None:
    (tmp_path / "result.json.journal").write_bytes(b'1234abcd {"schema": "hwn')
    assert run_kit(device, kit_path, "-o", "result.json", cwd=tmp_path).status == 0


def test_ctrl_c_says_how_to_go_on(device: Path, kit_path: Path, tmp_path: Path) -> None:
    with start_kit(device, kit_path, tmp_path) as process:
        wait_for_lines(tmp_path / "result.json.journal", 2, process)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()
    assert process.returncode == 130
    assert told.decode().splitlines()[-1] == "hwnas kit: interrupted; the same command goes on from here"


def test_a_kit_that_nobody_watches_any_more_ends(device: Path, kit_path: Path, tmp_path: Path) -> None:
    process = start_kit(device, kit_path, tmp_path)
    wait_for_lines(tmp_path / "result.json.journal", 2, process)
    assert process.stderr
    process.stderr.close()
    assert process.wait(60) in (1, 120)  # 120: Python couldn't say that its standard error is gone
    assert (tmp_path / "result.json.journal").exists()


def test_a_full_disk_ends_it_and_room_lets_it_go_on(device: Path, kit_path: Path, tmp_path: Path) -> None:
    ran = run_kit(
        device, kit_path, "-o", "result.json", cwd=tmp_path, limit="ulimit -f 16; "
    )  # KiB that a file may have
    assert ran.status == 1
    assert "make room, then the same command goes on" in ran.reason
    assert run_kit(device, kit_path, "-o", "result.json", cwd=tmp_path).status == 0


def test_too_little_memory_is_one_line(device: Path, kit_path: Path, tmp_path: Path) -> None:
    limit = 'MB=$("$0" -c "' + _PEAK + '"); ulimit -v $((MB + 40000)); '
    ran = run_kit(device, kit_path, "-o", "result.json", cwd=tmp_path, limit=limit)
    assert ran.status == 1, ran
    assert "out of memory" in ran.reason
    assert "free some, or " in ran.reason


_PEAK = "import onnxruntime; print([l.split()[1] for l in open('/proc/self/status') if l.startswith('VmPeak')][0])"


@pytest.fixture
def here(kit_path: Path, capsys: pytest.CaptureFixture[str]) -> Here:
    """Runs the kit in this process; gives its status and the last line that it told."""

    def run(*words: object) -> tuple[int, str]:
        status = kit_main.main(str(kit_path), [str(word) for word in words])
        return status, capsys.readouterr().err.splitlines()[-1]

    return run


def make_battery(monkeypatch: pytest.MonkeyPatch, folder: Path, percent: int, status: str = "Discharging") -> None:
    battery = folder / "BAT0"
    battery.mkdir(parents=True)
    (battery / "status").write_text(f"{status}\n")
    (battery / "capacity").write_text(f"{percent}\n")
    monkeypatch.setattr(machine, "_POWER", folder)


def test_a_low_battery_ends_it(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_battery(monkeypatch, tmp_path / "power", 10)
    status, told = here("-o", tmp_path / "r.json")
    assert (status, told) == (1, "hwnas kit: the battery is at 10 %; plug it in, then the same command goes on")
    make_battery(monkeypatch, tmp_path / "plugged", 10, "Charging")
    assert here("-o", tmp_path / "r.json")[0] == 0


def test_a_disk_that_fills_up_ends_it(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([20 << 20, 2 << 20, 1000])
    monkeypatch.setattr(machine, "free_bytes", lambda folder: next(free))
    status, told = here("-o", tmp_path / "r.json")
    assert (status, told) == (1, "hwnas kit: the disk is full; make room, then the same command goes on")
    assert (tmp_path / "r.json.journal").read_bytes().count(b"\n") == 3
    monkeypatch.setattr(machine, "free_bytes", lambda folder: 2 << 20)
    status, told = here("-o", tmp_path / "other.json")
    assert status == 1
    assert "has 2 MB free, 16 MB are needed" in told


def test_too_little_memory_to_unpack_a_model_is_no_damage(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(zipfile.ZipFile):
        def read(self, name: Any, pwd: bytes | None = None) -> bytes:
            if str(name).startswith("models/"):
                raise zlib.error("Error -4 while decompressing data")
            return super().read(name, pwd)

    monkeypatch.setattr(zipfile, "ZipFile", Full)
    status, told = here("-o", tmp_path / "r.json")
    assert status == 1
    assert "out of memory with 0 of" in told


def test_models_that_do_not_fit_are_not_loaded(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 999999 kB\nMemAvailable:    1000 kB\n")
    monkeypatch.setattr(machine, "_MEMORY", tmp_path / "meminfo")
    status, told = here("-o", tmp_path / "r.json")
    assert status == 1
    assert "of memory or more, 0 MB are free" in told


def test_wrong_requests(
    here: Here,
    kit_path: Path,
    tmp_path: Path,
    tiny: ChainSpace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    result, kept = tmp_path / "r.json", tmp_path / "r.json.journal"
    other = tmp_path / "other.pyz"
    other.write_bytes(small_kit(tiny, seconds=1.0).data)
    make_battery(monkeypatch, tmp_path / "power", 5)
    assert kit_main.main(str(other), ["-o", str(result)]) == 1
    status, told = here("-o", result)
    assert (status, "is of another kit" in told) == (2, True)
    assert kit_main.main(str(kit_path), ["-o", str(tmp_path / "s.json")]) == 1
    (tmp_path / "s.json.journal").replace(kept)
    monkeypatch.setattr("platform.node", lambda: "another")  # the stick went on to another device
    status, told = here("-o", result)
    assert (status, "is of another device" in told) == (2, True)
    kept.write_text("my diary\n")
    status, told = here("-o", result)
    assert (status, "isn't a journal that a kit wrote" in told) == (2, True)
    assert kept.read_text() == "my diary\n"
    result.write_text("")
    status, told = here("-o", result)
    assert (status, "exists already" in told) == (2, True)
    status, told = here("-o", tmp_path / "no" / "r.json")
    assert (status, "isn't a folder" in told) == (2, True)
    assert kit_main.main(str(tmp_path / "absent.pyz"), ["--check"]) == 2
    other.write_bytes(small_kit(tiny, threads=1000).data)
    assert kit_main.main(str(other), ["--check"]) == 2
    assert "with 1000 threads" in capsys.readouterr().err


def test_two_at_a_time(here: Here, kit_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_WAIT_S", 0)
    first = journal.FileJournal(tmp_path / "r.json.journal", "0" * 64, "here", {})
    status, told = here("-o", tmp_path / "r.json")
    assert (status, "another process is measuring" in told) == (2, True)
    first.remove()


def test_whoever_waited_for_the_journal_does_not_measure_again(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "r.json"
    first = journal.FileJournal(tmp_path / "r.json.journal", "0" * 64, "here", {})

    def meanwhile(seconds: float) -> None:
        output.write_text("{}")
        first.remove()

    monkeypatch.setattr(journal.time, "sleep", meanwhile)
    status, told = here("-o", output)
    assert (status, "exists already" in told) == (2, True)
    assert os.listdir(tmp_path) == ["r.json"]


def test_what_fails_here_or_there_is_recorded(
    tiny: ChainSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """One op that the runtime can't prepare, one whose model it can't load, and networks of which one can't run."""
    calls = iter(range(10_000))
    broken = {3: "refused, " * 100, 7: b"\x08", len(tiny.distinct_ops): b"\x08"}

    def prepare(self: OnnxRuntime, model: bytes, precision: str) -> bytes:
        replaced = broken.get(next(calls), model)
        if isinstance(replaced, str):
            raise ModelError(replaced)
        return replaced

    monkeypatch.setattr(OnnxRuntime, "prepare", prepare)
    built = small_kit(tiny, seconds=0.2)
    assert built.failed == 1
    path = tmp_path / "kit.pyz"
    path.write_bytes(built.data)
    assert kit_main.main(str(path), ["-o", str(tmp_path / "r.json")]) == 0
    table = read_result(tmp_path / "r.json").table
    assert set(table.failed) == {tiny.distinct_ops[3], tiny.distinct_ops[7]}
    assert table.failed[tiny.distinct_ops[3]] == ("refused, " * 100)[:300]
    assert set(table.ops) == set(tiny.distinct_ops) - set(table.failed)
    assert len(table.networks) == len(small_plan(tiny).networks) - 1


def test_a_journal_cut_anywhere_keeps_its_whole_rounds(tmp_path: Path) -> None:
    path = tmp_path / "j"
    first = journal.FileJournal(path, "1" * 64, "here", {})
    rounds = [Round([1, 0], [[number + 0.5], [2.5]], [1.0, 1.0, 1.0]) for number in range(3)]
    first.resume({4: "no"})
    for done in rounds:
        first.keep(done, 0)
    first._file.close()
    content = path.read_bytes()
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        again = journal.FileJournal(path, "1" * 64, "here", {})
        kept, reference = again.resume({4: "no"})
        again.keep(rounds[0], 0)
        again._file.close()
        assert kept == rounds[: max(0, content[:cut].count(b"\n") - 1)]
        assert reference == (0 if kept else None)
        once_more = journal.FileJournal(path, "1" * 64, "here", {})  # what was cut short didn't spoil what came after
        assert once_more.resume({4: "no"}) == ([*kept, rounds[0]], 0)
        once_more._file.close()


def test_a_journal_of_other_entries_starts_again(tmp_path: Path) -> None:
    """Rounds of other entries than can run now say nothing about these."""

    def opened() -> journal.FileJournal:
        return journal.FileJournal(tmp_path / "j", "1" * 64, "here", {"started": "then"})

    first = opened()
    assert first.resume({}) == ([], None)
    first.keep(Round([1, 0], [[1.5], [2.5]], [1.0, 1.0, 1.0]), 1)
    first._file.close()
    second = opened()
    assert second.resume({}) == ([Round([1, 0], [[1.5], [2.5]], [1.0, 1.0, 1.0])], 1)
    second._file.close()
    third = opened()
    assert third.resume({0: "out of luck"}) == ([], None)
    third._file.close()
    assert opened().rounds == 0


def test_orders_go_on_as_if_never_interrupted() -> None:
    def orders(earlier: list[Round]) -> list[list[int]]:
        rounds = list(earlier)
        calls = [lambda: 1e6] * 5  # a millisecond by the device's own clock
        effort = Effort(confidence=0.0, rounds=6, at_least_s=0.0, at_most_s=0.0)
        measure(calls, effort, np.random.default_rng(7), earlier=earlier, on_round=lambda done, _: rounds.append(done))
        return [done.order for done in rounds]

    whole = orders([])
    assert len({tuple(order) for order in whole}) > 1
    kept = [Round(order, [[1e6, 1e6]] * 5, [1e6] * 6) for order in whole[:4]]
    assert orders(kept) == whole


@pytest.mark.parametrize(
    "line",
    [
        {}, [], 3, None, {"order": [0]}, {"order": [0], "runs_ns": [[1]], "reference_ns": [1, 1]},
        {"order": [5], "runs_ns": [[1]], "reference_ns": [1, 1], "reference": 5},
        {"order": ["a"], "runs_ns": [[1]], "reference_ns": [1, 1], "reference": 0},
        {"order": [0], "runs_ns": [["1"]], "reference_ns": [1, 1], "reference": 0},
        {"order": [0], "runs_ns": [[]], "reference_ns": [1, 1], "reference": 0},
        {"order": [0], "runs_ns": [[-1]], "reference_ns": [1, 1], "reference": 0},
        {"order": [0], "runs_ns": [[1]], "reference_ns": [1], "reference": 0},
        {"order": [0], "runs_ns": 7, "reference_ns": [1, 1], "reference": 0},
        {"order": [0], "runs_ns": [[1]], "reference_ns": [1, 1], "reference": 3},
    ],
)  # fmt: skip
def test_a_round_that_is_none_ends_what_counts(tmp_path: Path, line: object) -> None:
    """Though its CRC is right: whoever altered it could write that as well."""
    path, good = tmp_path / "j", Round([0], [[1.0]], [1.0, 1.0])
    first = journal.FileJournal(path, "1" * 64, "here", {})
    first.resume({})
    first.keep(good, 0)
    first._append(line)  # type: ignore[arg-type]
    first.keep(good, 0)
    first._file.close()
    again = journal.FileJournal(path, "1" * 64, "here", {})
    assert again.resume({}) == ([good], 0)


def test_a_header_that_is_none_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "j"
    first = journal.FileJournal(path, "1" * 64, "here", {})
    first._append({"schema": "hwnas-journal/1", "kit": 3})
    first._file.close()
    again = journal.FileJournal(path, "1" * 64, "here", {})
    assert again.resume({}) == ([], None)


def test_what_is_no_file_is_no_journal_and_no_kit(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "j")
    with pytest.raises(KitError, match="isn't a plain file"):
        journal.FileJournal(tmp_path / "j", "1" * 64, "here", {})
    with pytest.raises(KitError, match="isn't a plain file"):
        KitFile(tmp_path / "j")
