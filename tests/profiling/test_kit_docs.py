"""Every command of docs/profile-a-device.md, in its order, against this machine as all three kinds of device."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hwnas.tables.table import LatencyTable
from tests.profiling.kits import ROOT
from tests.profiling.ssh_server import Server

pytestmark = pytest.mark.xdist_group("ssh")  # one folder of kits, in the home of whoever runs the tests

_QUICK = "--space scarlet-tiny --resolution 32 --networks 4 --seconds 1"


def test_every_command_of_the_page(server: Server, device: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "profile-a-device.md").read_text()
    commands = "".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL)).splitlines()
    assert len(commands) == 14
    block = "expanded_conv-input:28x28x24-output:28x28x24-expand:6-kernel:3-stride:1-idskip:1"
    (tmp_path / "lookup.yaml").write_text(f"{block}: {{mean: 2.5, count: 9}}\n")
    for command in commands:
        command = command.replace("--space scarlet-s2", _QUICK).replace("--held-out 20", "--held-out 5")
        if command.startswith("hwnas kit build"):
            command += " --held-out 5"
        command = command.replace(
            "--on ssh://pi@raspberrypi.local",
            f"--on {server.address} --ssh-config {server.config} --python {shlex.quote(str(device))}",
        )
        if command.startswith("ssh pi@raspberrypi.local "):  # as a user would, with nothing but ssh
            port, config = server.port, shlex.quote(str(server.config))
            command = command.replace("pi@raspberrypi.local", f"-p {port} -F {config} 127.0.0.1")
        command = command.replace("python3", shlex.quote(str(device)))
        command = re.sub("^hwnas", f"{shlex.quote(sys.executable)} -m hwnas", command)
        done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, env=os.environ)
        assert done.returncode == 0, (command, done.stderr)
    for name in ("this", "pi", "stick"):
        table = LatencyTable.load(tmp_path / f"{name}.yaml")
        assert table.calibration is not None
        assert len(table.held_out) == 5
