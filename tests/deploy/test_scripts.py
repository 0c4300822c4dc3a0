"""The scripts around a measurement: what they would do, what they do, and that all of it is undone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interrupts import heed_ctrl_c

ROOT = Path(__file__).parents[2]
PIN, LOCK = (ROOT / "deploy" / "scripts" / name for name in ("pin.sh", "lock-clocks.sh"))
CPUS = "devices/system/cpu"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the scripts are for Linux")


def run(*words: object, path: Path | None = None, sysfs: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    if path:
        environment["PATH"] = f"{path}:{environment['PATH']}"
    if sysfs:
        environment["SYSFS"] = str(sysfs)
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, env=environment)


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_scripts_are_clean() -> None:
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if not shellcheck:
        pytest.skip("no shellcheck")
    checked = run(shellcheck, PIN, LOCK, *(path for path in (ROOT / ".ci").iterdir()))
    assert checked.returncode == 0, checked.stdout


@pytest.fixture
def machine(tmp_path: Path) -> tuple[Path, Path]:
    """Two nodes of two cores with two threads each; node 1 has the fastest, and its CPU 7 may not be used."""
    tools, sysfs = tmp_path / "tools", tmp_path / "sys"
    cpus = "0,0,0,0 1,1,0,0 2,2,1,1 3,3,1,1 4,0,0,0 5,1,0,0 6,2,1,1 7,3,1,1"
    program(tools, "lscpu", f"printf '%s\\n' '# CPU,Core,Socket,Node' {cpus}")
    program(tools, "taskset", 'echo "pid 1\'s current affinity list: 0-2,3-6"')
    program(tools, "numactl", 'echo "$@"')
    for cpu, kilohertz in enumerate((3000, 3000, 4000, 3000) * 2):
        folder = sysfs / CPUS / f"cpu{cpu}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "cpuinfo_max_freq").write_text(f"{kilohertz}\n")
    return tools, sysfs


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "--physcpubind=2 --membind=1"),  # the fastest core
        (["--cores", 2], "--physcpubind=2,3 --membind=1"),  # not 6, which is 2's sibling
        (["--node", 0], "--physcpubind=1 --membind=0"),  # of equals the last, and its first thread
        (["--node", 0, "--cores", 2, "--"], "--physcpubind=0,1 --membind=0"),
    ],
)
def test_pins_to_physical_cores(machine: tuple[Path, Path], options: list[object], expected: str) -> None:
    tools, sysfs = machine
    told = run(PIN, *options, "sleep", "a b", path=tools, sysfs=sysfs)
    assert (told.returncode, told.stdout) == (0, f"{expected} sleep a b\n"), told.stderr
    dry = run(PIN, "--dry-run", *options, "sleep", "a b", path=tools, sysfs=sysfs)
    assert dry.stdout.replace("\\,", ",").strip() == f"numactl {expected} sleep a\\ b"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--cores", 3, "true"], "node 1 has 2 physical cores"),
        (["--node", 5, "true"], "node 5 has 0 physical cores"),
        (["--cores", "x", "true"], "--cores takes a number"),
        (["--cores", 0, "true"], "at least 1"),
        (["--core", 1, "true"], "no option --core"),
        (["--cores", 1], "which command"),
    ],
)
def test_pin_refuses(machine: tuple[Path, Path], options: list[object], words: str) -> None:
    told = run(PIN, *options, path=machine[0], sysfs=machine[1])
    assert (told.returncode, told.stdout) == (2, "")
    assert words in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_pins_for_real() -> None:
    told = run(PIN, "--cores", 1, sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0))); exit(3)")
    assert (told.returncode, told.stdout) == (3, "1\n"), told.stderr


@pytest.fixture
def clocks(tmp_path: Path) -> Path:
    """Two CPUs that save power, with turbo."""
    for cpu, governor in enumerate(("powersave", "schedutil")):
        folder = tmp_path / "sys" / CPUS / f"cpu{cpu}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(f"{governor}\n")
        (folder / "scaling_available_governors").write_text("performance powersave schedutil\n")
    (tmp_path / "sys" / CPUS / "cpufreq").mkdir()
    (tmp_path / "sys" / CPUS / "cpufreq" / "boost").write_text("1\n")
    return tmp_path / "sys"


def state(sysfs: Path) -> list[str]:
    files = [f"cpu{cpu}/cpufreq/scaling_governor" for cpu in range(2)] + ["cpufreq/boost"]
    return [(sysfs / CPUS / file).read_text().strip() for file in files]


BEFORE, LOCKED = ["powersave", "schedutil", "1"], ["performance", "performance", "0"]
SHOW = 'cat "$SYSFS"/devices/system/cpu/cpu?/cpufreq/scaling_governor "$SYSFS"/devices/system/cpu/cpufreq/boost; exit 4'


def test_clocks_are_locked_for_the_command_and_put_back(clocks: Path, tmp_path: Path) -> None:
    program(tmp_path / "tools", "nvidia-smi", f'echo "$@" >>{tmp_path}/gpu')
    told = run(LOCK, "--gpu", 1500, "--gpu-memory", 5000, "sh", "-c", SHOW, path=tmp_path / "tools", sysfs=clocks)
    assert told.returncode == 4
    assert told.stdout.split() == LOCKED
    assert state(clocks) == BEFORE
    assert (tmp_path / "gpu").read_text().splitlines() == [
        "--lock-gpu-clocks=1500,1500", "--lock-memory-clocks=5000,5000", "--reset-memory-clocks", "--reset-gpu-clocks",
    ]  # fmt: skip


def test_a_dry_run_only_says(clocks: Path, tmp_path: Path) -> None:
    told = run(LOCK, "--dry-run", "sh", "-c", f"touch {tmp_path}/ran", sysfs=clocks)
    assert (told.returncode, told.stdout, state(clocks)) == (0, "", BEFORE)
    assert not (tmp_path / "ran").exists()
    assert told.stderr.count("echo performance >") == 2
    assert "echo 0 >" in told.stderr


def test_a_killed_run_puts_clocks_back(clocks: Path) -> None:
    # no shell: dash may lose a signal that comes before its first child
    waiting = [LOCK, sys.executable, "-c", "import time; print('started', flush=True); time.sleep(60)"]
    environment = {**os.environ, "SYSFS": str(clocks)}
    for number in (signal.SIGINT, signal.SIGTERM):
        with subprocess.Popen(
            waiting, stdout=subprocess.PIPE, env=environment, start_new_session=True, preexec_fn=heed_ctrl_c
        ) as running:
            assert running.stdout
            assert running.stdout.readline() == b"started\n"
            assert state(clocks) == LOCKED
            os.killpg(running.pid, number)
            assert running.wait(timeout=30) != 0
        assert state(clocks) == BEFORE


def test_a_change_that_fails_undoes_those_before(clocks: Path, tmp_path: Path) -> None:
    program(tmp_path / "tools", "nvidia-smi", "exit 1")
    told = run(LOCK, "--gpu", 1500, "true", path=tmp_path / "tools", sysfs=clocks)
    assert told.returncode == 2
    assert told.stderr.splitlines()[-1] == "lock-clocks.sh: that failed; it takes root"
    assert state(clocks) == BEFORE


def test_lock_refuses_where_there_is_nothing_to_lock(tmp_path: Path) -> None:
    for words, command in {
        "lets nobody set": [LOCK, "true"],
        "takes a number": [LOCK, "--gpu", "fast", "true"],
        "no option": [LOCK, "--cpu", "true"],
        "which command": [LOCK],
    }.items():
        told = run(*command, sysfs=tmp_path)
        assert told.returncode == 2
        assert words in told.stderr
        assert len(told.stderr.splitlines()) == 1
