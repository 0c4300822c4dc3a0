"""Several devices at once: three names of one real sshd, and the machine of a real Ray."""

from __future__ import annotations

import json
import os
import platform
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hwnas.space.chain import ChainSpace
from hwnas.tables.kernel_table import KernelTable
from hwnas.tables.table import LatencyTable
from tests.cli.run import Shell
from tests.flow.test_kernels import net
from tests.onnx_models import exported
from tests.profiling.ssh_server import Server, free_port

KITS = Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache" / "hwnas-kits"
SMALL = ["--space", "scarlet-tiny", "--resolution", "32", "--networks", "4", "--seconds", "1"]


@pytest.fixture
def hwnas(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys)


def write_config(path: Path, server: Server, ports: dict[str, int]) -> None:
    hosts = (f"Host {name}\n  HostName 127.0.0.1\n  Port {port}\n" for name, port in ports.items())
    path.write_text("".join(hosts) + "Host *\n" + server.config.read_text())


def profile(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hwnas", "profile", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.xdist_group("ssh")
def test_each_device_has_its_table_and_a_failure_stops_no_other(
    server: Server, device: Path, tiny: ChainSpace, tmp_path: Path, hwnas: Shell
) -> None:
    """Three devices that share a home, the third of them off at first."""
    folder, config = tmp_path / "tables", tmp_path / "ssh config"
    write_config(config, server, {"a": server.port, "b": server.port, "c": free_port()})
    words = [*SMALL, "--on", "ssh://a", "--on", "ssh://b", "--on", "ssh://c", "-o", folder]
    there = ["--python", device, "--ssh-config", config]
    done = profile(*words, *there, "--json")
    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)
    assert [made["name"] for made in result["tables"]] == ["a", "b"]
    reason = "can't reach c: nothing listens there; is sshd running, is the port right?"
    assert result["failed"] == [{"name": "c", "reason": reason}]
    lines = done.stderr.splitlines()
    assert f"c: {reason}" in lines
    assert lines[-1] == "hwnas: 1 of 3 devices have no table: c; the same command goes on"
    ends = [lines.index(f"{name}: measured") for name in "ab"]
    for name in "ab":  # at the same time
        assert next(i for i, line in enumerate(lines) if line.startswith(f"{name}: loading")) < min(ends)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert before.keys() == {"a.yaml", "b.yaml"}
    assert before["a.yaml"] != before["b.yaml"]

    write_config(config, server, {"a": free_port(), "b": free_port(), "c": server.port})
    done = profile(*words, *there)
    assert done.returncode == 0, done.stderr
    assert {line.partition(":")[0] for line in done.stdout.splitlines()} == {"a", "b", "c"}
    for name in "ab":
        assert f"{name}: {folder / name}.yaml is there already; to measure again, remove it" in done.stderr
        assert (folder / f"{name}.yaml").read_bytes() == before[f"{name}.yaml"]
    for name in "abc":
        assert set(LatencyTable.load(folder / f"{name}.yaml").ops) == set(tiny.distinct_ops)
        assert not list(KITS.glob(f"{name}/*"))
    reason = "a.yaml exists already and was measured otherwise; remove it or choose another folder"
    assert reason in hwnas.refused("profile", *words, "--batch", "2")


@pytest.mark.xdist_group("ray")
def test_the_machines_of_a_cluster(tiny: ChainSpace, tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    done = profile("--workers", "ray", *SMALL, "-o", folder, "--json")
    assert done.returncode == 0, done.stderr
    name = platform.node()
    assert [made["name"] for made in json.loads(done.stdout)["tables"]] == [name]
    assert set(LatencyTable.load(folder / f"{name}.yaml").ops) == set(tiny.distinct_ops)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    for width in (16, 24, 32):
        (folder / f"w{width}.onnx").write_bytes(exported(net(width, 1), torch.zeros(1, 3, 32, 32)))
    return sorted(folder.iterdir())


def check_kernels(path: Path, files: list[Path]) -> KernelTable:
    """Each model, and each of its kernels, is in the table."""
    table = KernelTable.read(path)
    assert [each.name for each in table.models] == [str(file) for file in files]
    assert set(table.by_key) == {launch.kernel for each in table.models for launch in each.launches}
    return table


@pytest.mark.xdist_group("ssh")
def test_models_on_another_machine_and_on_several(
    server: Server, device: Path, files: list[Path], tmp_path: Path, hwnas: Shell
) -> None:
    config = tmp_path / "ssh config"
    write_config(config, server, {"a": server.port, "b": free_port()})
    there = ["--python", device, "--ssh-config", config, "--seconds", "0.5"]
    table = tmp_path / "a.json"
    done = profile(*files[:2], "--on", "ssh://a", *there, "-o", table)
    assert done.returncode == 0, done.stderr
    assert "a: trying kernels 100%" in done.stderr
    known = check_kernels(table, files[:2])

    done = profile(*files, "--on", "ssh://a", "--with", table, *there, "-o", tmp_path / "more.json", "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["models"]) == 3
    more = check_kernels(tmp_path / "more.json", files)
    assert more.kernels[: len(known.kernels)] == known.kernels

    folder = tmp_path / "tables"
    both = ["--on", "ssh://a", "--on", "ssh://b", *there, "-o", folder]
    done = profile(*files[:2], *both)
    assert done.returncode == 1, done.stderr
    check_kernels(folder / "a.json", files[:2])
    write_config(config, server, {"a": free_port(), "b": server.port})
    done = profile(*files, *both)
    assert done.returncode == 0, done.stderr
    assert f"a: {folder / 'a.json'} is without {files[2]}" in done.stderr
    check_kernels(folder / "b.json", files)
    assert "was measured otherwise" in hwnas.refused("profile", *files[1:], *both)
    assert "is of one device" in hwnas.refused("profile", *files, *both, "--with", table)
    assert not list(KITS.glob("*/*"))


@pytest.mark.xdist_group("ray")
def test_models_on_the_machines_of_a_cluster(files: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    done = profile(*files, "--workers", "ray", "--seconds", "0.5", "-o", folder, "--json")
    assert done.returncode == 0, done.stderr
    assert [made["name"] for made in json.loads(done.stdout)["tables"]] == [platform.node()]
    check_kernels(folder / f"{platform.node()}.json", files)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--on", "ssh://a", "--on", "ssh://a"], "two devices of --on would write tables/a.yaml"),
        (["--on", "ssh://me@a:7", "--on", "ssh://you@a:7"], "two devices of --on would write tables/a-7.yaml"),
        (["--on", "ssh://a", "--on", "b"], "'b' is neither ssh://"),
        (["--on", "ssh://a", "--workers", "ray"], "leave out --on, or --workers"),
        (["--workers", "3"], "--workers is ray or ray:ADDRESS, got '3'"),
        (["--workers", "ray:"], "ray or ray:ADDRESS, got 'ray:'"),
        (["--workers", "ray", "--python", "python3"], "say which one with --on"),
    ],
)
def test_refused(words: list[str], part: str, hwnas: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert part in hwnas.refused("profile", *SMALL, *words, "-o", "tables")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder(hwnas: Shell, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    words = [*SMALL, "--on", "ssh://a", "--on", "ssh://b", "-o", tmp_path / "there"]
    assert "exists already and isn't a folder" in hwnas.refused("profile", *words)
    assert (tmp_path / "there").read_text() == "mine"
