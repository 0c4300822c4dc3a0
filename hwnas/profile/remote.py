"""A kit, carried to another machine, run there and its result fetched: by ssh, or by adb to Android.

The machine needs a POSIX shell and Python; nothing is left on it but, until the result is here, a folder named by
the kit. So when a connection drops, doing the same again goes on.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import urlsplit

from hwnas.errors import ConfigError, DeviceError, KitError
from hwnas.profile.kit import Kit
from hwnas.profile.kit_main import PREFIX

OnLine = Callable[[str], None]

_SHA256 = "import hashlib,sys;print(hashlib.sha256(open(sys.argv[1],'rb').read()).hexdigest())"
_OLDEST_PYTHON = (3, 8)


class Transport(Protocol):
    """A way to another machine.

    Attributes:
        name: of the machine, for messages.
        folder: on it, where kits may work.
    """

    name: str
    folder: str

    def run(self, command: Sequence[str], on_line: OnLine) -> int:
        """Run a command there, pass on each line of its output, return its exit status.

        Raises:
            ConfigError: the machine can't be reached as asked.
            DeviceError: the connection dropped.
        """

    def copy_to(self, local: Path, remote: str) -> None:
        """Copy a file there, whole or not at all; raises as :meth:`run`."""

    def fetch(self, remote: str, local: Path) -> None:
        """Copy a file from there; raises as :meth:`run`."""


def check_python(transport: Transport, python: str) -> None:
    """Whether the machine can be reached and has a Python that a kit runs on.

    Raises:
        ConfigError: it can't, or hasn't.
        DeviceError: the connection dropped.
    """
    lines: list[str] = []
    status = transport.run([python, "-c", "import sys; print('python %d %d' % sys.version_info[:2])"], lines.append)
    found = re.search(r"^python (\d+) (\d+)$", "\n".join(lines), re.MULTILINE)
    if status or not found:
        why = f" ({lines[-1][:200]})" if lines else ""
        raise ConfigError(f"{transport.name} can't run {python!r}{why}; install Python there, or say --python PATH")
    if (int(found[1]), int(found[2])) < _OLDEST_PYTHON:
        raise ConfigError(
            f"{python} on {transport.name} is Python {found[1]}.{found[2]}, a kit needs 3.8 or later; say --python PATH"
        )


def measure_on(transport: Transport, kit: Kit, result: Path, *, python: str, on_line: OnLine) -> None:
    """Run a kit on another machine and fetch its result, or what an earlier call had to leave undone of both.

    Args:
        transport: the way there.
        kit: what to run.
        result: the file to write here.
        python: name or path of Python there.
        on_line: gets each line that the kit tells.

    Raises:
        ConfigError: the machine can't be reached as asked.
        KitError: the kit can't measure there as it is.
        DeviceError: it gave up half-way, or the connection dropped.
    """
    folder = _folder(transport, kit)
    _must(transport, ["mkdir", "-p", folder], "can't make a folder")
    if not _is_there(transport, f"{folder}/result.json"):
        _bring(transport, kit, f"{folder}/kit.pyz", python, on_line)
        _measure(transport, [python, f"{folder}/kit.pyz", "-o", f"{folder}/result.json"], on_line)
    transport.fetch(f"{folder}/result.json", result)


def clean_up(transport: Transport, kit: Kit) -> None:
    """Remove the kit and its result there, once the result is safe here; raises as :func:`measure_on`."""
    _must(transport, ["rm", "-r", _folder(transport, kit)], "can't clean up")


def _folder(transport: Transport, kit: Kit) -> str:
    return f"{transport.folder}/{kit.sha256[:16]}"


def _is_there(transport: Transport, remote: str) -> bool:
    return transport.run(["test", "-f", remote], lambda line: None) == 0


def _bring(transport: Transport, kit: Kit, remote: str, python: str, on_line: OnLine) -> None:
    """Copy the kit, unless the very same file is there."""
    lines: list[str] = []
    transport.run([python, "-c", _SHA256, remote], lines.append)
    if lines[-1:] == [hashlib.sha256(kit.data).hexdigest()]:
        return
    on_line(f"copying {len(kit.data) / 1e6:.1f} MB to {transport.name}")
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / "kit.pyz"
        local.write_bytes(kit.data)
        transport.copy_to(local, remote)


def _measure(transport: Transport, command: Sequence[str], on_line: OnLine) -> None:
    lines: list[str] = []

    def heard(line: str) -> None:
        lines.append(line)
        if not line.startswith(PREFIX):
            on_line(line)

    if status := transport.run(command, heard):
        told = [line.removeprefix(PREFIX) for line in lines if line.startswith(PREFIX)]
        reason = f"on {transport.name}: {told[-1] if told else (lines or ['no reason given'])[-1][:300]}"
        if status == 2:
            raise KitError(reason)
        killed = "" if told else f" (exit status {status}; killed, as for lack of memory?); the same command goes on"
        raise DeviceError(reason + killed)


def _must(transport: Transport, command: Sequence[str], wrong: str) -> None:
    lines: list[str] = []
    if transport.run(command, lines.append):
        raise DeviceError(f"{wrong} on {transport.name}: {(lines or ['no reason given'])[-1][:300]}")


class Ssh:
    """By the system's ``ssh``, with its configuration and keys. Never asks: keys must be set up.

    Files go through ``cat``, so that the other machine needs no SFTP.

    Args:
        address: ``ssh://[user@]host[:port]``; host may be an alias of the configuration.
        config: a configuration file in place of the usual ones.

    Raises:
        ConfigError: not such an address.
    """

    folder = ".cache/hwnas-kits"  # in the home folder, where ssh begins

    def __init__(self, address: str, config: Path | None = None) -> None:
        user, host, port = _parsed(address)
        self.name = f"{user}@{host}" if user else host
        self._command = [
            "ssh", "-T", "-x", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10",
            "-o", "ServerAliveCountMax=3", "-o", "LogLevel=ERROR",
            *(["-F", str(config)] if config else []), *(["-p", str(port)] if port else []),
            *(["-l", user] if user else []), "--", host,
        ]  # fmt: skip

    def run(self, command: Sequence[str], on_line: OnLine) -> int:
        return self._ssh(command, on_line)

    def copy_to(self, local: Path, remote: str) -> None:
        lines: list[str] = []
        with open(local, "rb") as source:
            status = self._ssh(["sh", "-c", 'cat > "$1.part" && mv "$1.part" "$1"', "sh", remote], lines.append, source)
        if status:
            raise DeviceError(f"can't copy to {self.name}: {(lines or ['no reason given'])[-1][:300]}")

    def fetch(self, remote: str, local: Path) -> None:
        lines: list[str] = []
        with open(local, "wb") as target:
            status = self._ssh(["cat", remote], lines.append, target=target)
        if status:
            raise DeviceError(f"can't copy from {self.name}: {(lines or ['no reason given'])[-1][:300]}")

    def _ssh(
        self, words: Sequence[str], on_line: OnLine, source: IO[bytes] | None = None, target: IO[bytes] | None = None
    ) -> int:
        lines: list[str] = []

        def heard(line: str) -> None:
            lines.append(line)
            on_line(line)

        status = _process([*self._command, shlex.join(words)], heard, source, target)
        if status == 255:
            raise self._unreachable(" ".join(lines[-3:]))
        return status

    def _unreachable(self, told: str) -> ConfigError | DeviceError:
        """What ssh's own words mean; it has one exit status for all of them."""
        for words, meaning in _SSH_SAYS.items():
            if re.search(words, told):
                return ConfigError(f"can't reach {self.name}: {meaning}")
        return DeviceError(
            f"the connection to {self.name} dropped ({told[-200:] or 'ssh says nothing'}); "
            "run the same command again, it goes on from where it was"
        )


_SSH_SAYS = {
    "Could not resolve hostname": "no such host; check its name",
    "REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed":
        "its host key isn't known, or has changed; connect once by hand with ssh and check it",
    "Permission denied": "it accepts none of your keys; ssh-copy-id sets one up",
    "Connection refused": "nothing listens there; is sshd running, is the port right?",
    "[Tt]imed out during banner exchange|connect to host .* timed out":
        "it doesn't answer within 10 s; is it on, is the port right?",
    "No route to host|Network is unreachable": "no network leads there",
    "Bad configuration option|Can't open user config file|terminating, .* bad configuration":
        "the ssh configuration can't be used; try it with ssh itself",
}  # fmt: skip


class Adb:
    """By ``adb`` of Android's platform tools. Python there may be Termux's: name its path.

    Args:
        address: ``adb://SERIAL``, as ``adb devices`` lists it.

    Raises:
        ConfigError: not such an address.
    """

    folder = "/data/local/tmp/hwnas-kits"

    def __init__(self, address: str) -> None:
        serial = address.removeprefix("adb://")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]*", serial):
            raise ConfigError(f"{address!r:.100} isn't adb://SERIAL; adb devices lists the serials")
        self.name = serial
        self._command = ["adb", "-s", serial]

    def run(self, command: Sequence[str], on_line: OnLine) -> int:
        return self._adb(["shell", shlex.join(command)], on_line)

    def copy_to(self, local: Path, remote: str) -> None:
        self._transfer(["push", str(local), f"{remote}.part"])
        _must(self, ["mv", f"{remote}.part", remote], "can't finish copying")

    def fetch(self, remote: str, local: Path) -> None:
        self._transfer(["pull", remote, str(local)])

    def _transfer(self, words: Sequence[str]) -> None:
        lines: list[str] = []
        if self._adb(words, lines.append):
            raise DeviceError(f"adb {words[0]} failed on {self.name}: {(lines or ['no reason given'])[-1][:300]}")

    def _adb(self, words: Sequence[str], on_line: OnLine) -> int:
        lines: list[str] = []

        def heard(line: str) -> None:
            lines.append(line)
            on_line(line)

        status = _process([*self._command, *words], heard)
        told = " ".join(lines[-2:])
        if status and (found := re.search(r"(adb|error): (.*(not found|unauthorized|offline|no devices).*)", told)):
            raise ConfigError(f"can't reach {self.name}: {found[2][:200]}; see adb devices")
        return status


def transport_to(address: str, ssh_config: Path | None = None) -> Transport:
    """The transport of ``ssh://[user@]host[:port]`` or ``adb://SERIAL``.

    Raises:
        ConfigError: neither of them.
    """
    if address.startswith("adb://"):
        return Adb(address)
    return Ssh(address, ssh_config)


def _parsed(address: str) -> tuple[str | None, str, int | None]:
    wrong = ConfigError(f"{address!r:.100} is neither ssh://[user@]host[:port] nor adb://SERIAL")
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise wrong from None
    user, host = parts.username, parts.hostname
    if parts.scheme != "ssh" or parts.path not in ("", "/") or parts.query or parts.fragment or parts.password:
        raise wrong
    if not host or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*|[0-9a-fA-F:]+(%\w+)?", host):
        raise wrong
    if user is not None and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._@\\-]*", user):
        raise wrong
    return user, host, port


def _process(
    command: Sequence[str], on_line: OnLine, source: IO[bytes] | None = None, target: IO[bytes] | None = None
) -> int:
    """Run a program here; its output, or with ``target`` only its errors, line by line; its exit status."""
    try:
        process = subprocess.Popen(
            command,
            stdin=source or subprocess.DEVNULL,
            stdout=target or subprocess.PIPE,
            stderr=subprocess.PIPE if target else subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C"},  # its messages are understood in English
        )
    except FileNotFoundError:
        raise ConfigError(f"there is no program {command[0]!r} here; install it") from None
    pipe = process.stderr if target else process.stdout
    assert pipe is not None
    with process:
        for line in pipe:
            on_line(line.decode(errors="replace").rstrip())
    return process.returncode
