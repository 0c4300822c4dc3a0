"""Commands that have workers, as a shell starts them: Ctrl-C, a kill, a cluster that runs already."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.interrupts import heed_ctrl_c
from tests.profiling.ssh_server import free_port
from tests.workers.calls import wait_until_gone, waiting_processes
from tests.workers.conftest import ON_RAY

BOTH = pytest.mark.parametrize("name", ["2", pytest.param("ray", marks=ON_RAY)])


def start(name: str, folder: Path, *words: str) -> subprocess.Popen[str]:
    """In a process group of its own, as a shell would."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.workers.command", name, str(folder), *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heed_ctrl_c,
    )  # fmt: skip


def group_of(leader: int) -> list[int]:
    """All processes of its session, itself excepted."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return [pid for pid in found if pid != leader]


@BOTH
def test_ctrl_c_ends_everything_without_a_word(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with TemporaryDirectory(prefix="t", dir="/tmp") as temporary:  # short, since Ray has sockets below it
        monkeypatch.setenv("TMPDIR", temporary)
        command = start(name, tmp_path)
        pids = waiting_processes(tmp_path, 2)
        os.killpg(command.pid, signal.SIGINT)  # a terminal sends it to all of them
        out, err = command.communicate(timeout=30)
        assert command.returncode == 130
        assert (out, err) == ("", "")
        wait_until_gone(pids)
        wait_until_gone(group_of(command.pid))
        assert os.listdir(temporary) == []


def test_ctrl_c_while_workers_begin(tmp_path: Path) -> None:
    for delay_ms in range(100, 400, 25):
        command = start("2", tmp_path)
        time.sleep(delay_ms / 1e3)
        os.killpg(command.pid, signal.SIGINT)
        _, err = command.communicate(timeout=30)
        assert command.returncode in (130, -signal.SIGINT)  # the latter while Python itself begins
        assert command.returncode != 130 or err == ""
        wait_until_gone(group_of(command.pid))


@BOTH
def test_workers_do_not_outlive_a_killed_command(name: str, tmp_path: Path) -> None:
    command = start(name, tmp_path)
    pids = waiting_processes(tmp_path, 2)
    command.kill()
    command.communicate()
    wait_until_gone(pids)
    if name != "ray":  # two agents of Ray's own take a minute
        wait_until_gone(group_of(command.pid))


def test_standard_output_is_the_commands_own(tmp_path: Path) -> None:
    """Also when workers die; on Ray, see below."""
    squares(start("2", tmp_path, "6"))


@dataclass(frozen=True)
class Cluster:
    """A Ray that runs already, and the port of its client server."""

    port: int
    client_port: int


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if " " in sys.prefix:
        pytest.skip("`ray start` needs a path without a space: its client server is started by a shell, unquoted")
    found = Cluster(free_port(), free_port())
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    with subprocess.Popen(
        [Path(sys.executable).with_name("ray"), "start", "--head", "--block", "--num-cpus=2",
         f"--port={found.port}", f"--ray-client-server-port={found.client_port}", "--object-store-memory=80000000",
         "--include-dashboard=false"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, start_new_session=True,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 60
        while not answers(found.port) or not answers(found.client_port):
            assert process.poll() is None, "Ray doesn't start"
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield found
        process.terminate()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def squares(command: subprocess.Popen[str]) -> None:
    out, err = command.communicate(timeout=180)  # Ray's client server may give up after 30 s, and is asked three times
    assert command.returncode == 0, err
    assert all(line.startswith("Ray: A worker died") for line in err.splitlines()), err
    assert json.loads(out) == {str(number): number**2 for number in range(6)}


@ON_RAY
def test_a_running_cluster_is_used_and_left_running(cluster: Cluster, tmp_path: Path) -> None:
    for number, address in enumerate([f"127.0.0.1:{cluster.port}", f"ray://127.0.0.1:{cluster.client_port}"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        squares(start(f"ray:{address}", folder, "6"))
    command = start(f"ray:127.0.0.1:{cluster.port}", tmp_path)
    pids = waiting_processes(tmp_path, 2)
    command.kill()  # its tasks end with it, on the cluster too
    command.communicate()
    wait_until_gone(pids)
    assert answers(cluster.port)
