"""A real sshd for tests, on this machine and for one user's key."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from hwnas.profiling.transports import Ssh

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")


@dataclass(frozen=True)
class Server:
    """An sshd for this test only; ``config`` is what an ssh client needs to reach it."""

    process: subprocess.Popen[bytes]
    port: int
    config: Path
    home: Path

    @property
    def address(self) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"

    def ssh(self) -> Ssh:
        transport = Ssh(self.address, self.config)
        transport.folder = str(self.home / "kits")
        return transport


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def client_config(folder: Path, port: int, key: Path, host_key: Path) -> Path:
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {host_key.with_suffix('.pub').read_text()}")
    config = folder / "config"
    config.write_text(
        f'IdentityFile "{key}"\nIdentitiesOnly yes\nUserKnownHostsFile "{known}"\nGlobalKnownHostsFile /dev/null\n'
        "StrictHostKeyChecking yes\n"
    )
    return config


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    if SSHD is None or not shutil.which("ssh"):
        pytest.skip("no sshd here: apt-get install openssh-server")
    folder.chmod(0o700)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # it wants to drop its rights there
    host_key, key, port = make_key(folder / "host"), make_key(folder / "user"), free_port()
    authorized = folder / "authorized_keys"
    authorized.write_text(key.with_suffix(".pub").read_text())
    config = folder / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nAuthorizedKeysFile {authorized}\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
    )
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=subprocess.DEVNULL)
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    else:
        pytest.fail("sshd doesn't start")
    home = folder / "home of the other"
    home.mkdir()
    yield Server(process, port, client_config(folder, port, key, host_key), home)
    process.terminate()
    process.wait()
