"""The ways to another machine: ssh, and adb to Android."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple, Protocol
from urllib.parse import unquote

from hwnas.errors import ConfigError, DeviceError
from hwnas.files import plain_file
from hwnas.progress import Tell, silent

_ANSWERS_S = 10  # so long a host may take to answer
_BEGINS = "hwnas: a file begins"  # what a shell prints at login comes before it


class Ran(NamedTuple):
    """A command's exit status, and the lines of its output."""

    status: int
    lines: list[str]

    @property
    def last_line(self) -> str:
        """As far as a message can hold it."""
        return (self.lines or ["no reason given"])[-1][:300]

    def check(self, wrong: str) -> None:
        """Raises:
        DeviceError: it failed; ``wrong`` says what couldn't be done.
        """
        if self.status:
            raise DeviceError(f"{wrong}: {self.last_line}")


class Transport(Protocol):
    """A way to another machine.

    Attributes:
        name: of the machine, for messages.
        folder: on it, where kits may work.
    """

    name: str
    folder: str

    def run(self, command: Sequence[str], on_line: Tell = silent) -> Ran:
        """Run a command there, and pass on each line of its output.

        Raises:
            ConfigError: the machine can't be reached as asked.
            DeviceError: the connection dropped.
        """

    def copy_to(self, local: Path, remote: str) -> None:
        """Copy a file there, whole or not at all; raises as :meth:`run`."""

    def fetch(self, remote: str, local: Path) -> None:
        """Copy a file from there; raises as :meth:`run`."""


class Ssh:
    """By the system's ``ssh``, with its configuration or another, and keys. Never asks: keys must be set up.

    Files go through ``cat``, so that the other machine needs no SFTP.

    Raises:
        ConfigError: the address isn't ``ssh://[user@]host[:port]``; host may be an alias of the configuration.
    """

    folder = ".cache/hwnas-kits"  # in the home folder, where ssh begins

    def __init__(self, address: str, config: Path | None = None) -> None:
        user, host, port = _parsed(address)
        if config:
            plain_file(config, ConfigError)
        self.name = f"{user}@{host}" if user else host
        self._command = [
            "ssh", "-T", "-x", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={_ANSWERS_S}",
            "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3", "-o", "LogLevel=ERROR",
            *(["-F", str(config)] if config else []), *(["-p", str(port)] if port else []),
            *(["-l", user] if user else []), "--", host,
        ]  # fmt: skip

    def run(
        self,
        command: Sequence[str],
        on_line: Tell = silent,
        source: IO[bytes] | None = None,
        target: IO[bytes] | None = None,
    ) -> Ran:
        ran = _process([*self._command, shlex.join(command)], on_line, source, target)
        if ran.status == 255:
            raise self._unreachable(" ".join(ran.lines[-3:]))
        return ran

    def copy_to(self, local: Path, remote: str) -> None:
        with open(local, "rb") as source:
            ran = self.run(["sh", "-c", 'cat > "$1.part" && mv "$1.part" "$1"', "sh", remote], source=source)
        ran.check(f"can't copy to {self.name}")

    def fetch(self, remote: str, local: Path) -> None:
        with open(local, "wb") as target:
            ran = self.run(["sh", "-c", 'echo "$2"; cat "$1"', "sh", remote, _BEGINS], target=target)
        ran.check(f"can't copy from {self.name}")
        _, _, content = local.read_bytes().partition(f"{_BEGINS}\n".encode())
        local.write_bytes(content)

    def _unreachable(self, told: str) -> ConfigError | DeviceError:
        """What ssh's own words mean; it has one exit status for all of them."""
        for words, meaning in _SSH_SAYS.items():
            if re.search(words, told):
                return ConfigError(f"can't reach {self.name}: {meaning.format(_ANSWERS_S)}")
        return DeviceError(
            f"the connection to {self.name} dropped ({told[-200:] or 'ssh says nothing'}); "
            "run the same command again, it goes on from where it was"
        )


_SSH_SAYS = {
    "Could not resolve hostname": "no such host; check its name (capitals matter in aliases of ssh's configuration)",
    "REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed":
        "its host key isn't the one that ssh knows: it was set up anew, or another machine answers; if you are sure "
        "that it is yours, ssh-keygen -R HOST forgets the old key",
    "Host key verification failed": "its host key isn't known; connect once by hand with ssh and check it",
    "Permission denied":
        "it accepts none of your keys; ssh-copy-id sets one up, and ssh by hand says if it ignores one that is lost "
        "or that others may read",
    "Connection refused": "nothing listens there; is sshd running, is the port right?",
    "[Tt]imed out during banner exchange|connect to host .* timed out":
        "it doesn't answer within {} s; is it on, is the port right?",
    "No route to host|Network is unreachable": "no network leads there",
    "Bad configuration option|Can't open user config file|terminating, .* bad configuration":
        "the ssh configuration can't be used; try it with ssh itself",
}  # fmt: skip


class Adb:
    """By ``adb`` of Android's platform tools. Python there may be Termux's: name its path.

    Raises:
        ConfigError: the address isn't ``adb://SERIAL``, as ``adb devices`` lists it.
    """

    folder = "/data/local/tmp/hwnas-kits"

    def __init__(self, address: str) -> None:
        serial = unquote(address.removeprefix("adb://"))
        if not _SERIAL.fullmatch(serial):
            raise ConfigError(f"{address!r:.100} isn't adb://SERIAL; adb devices lists the serials")
        self.name = serial
        self._command = ["adb", "-s", serial]

    def run(self, command: Sequence[str], on_line: Tell = silent) -> Ran:
        return self._adb(["shell", shlex.join(command)], on_line)

    def copy_to(self, local: Path, remote: str) -> None:
        self._adb(["push", str(local), f"{remote}.part"]).check(f"adb push failed on {self.name}")
        self.run(["mv", f"{remote}.part", remote]).check(f"can't finish copying to {self.name}")

    def fetch(self, remote: str, local: Path) -> None:
        self._adb(["pull", remote, str(local)]).check(f"adb pull failed on {self.name}")

    def _adb(self, words: Sequence[str], on_line: Tell = silent) -> Ran:
        ran = _process([*self._command, *words], on_line)
        told = " ".join(ran.lines[-2:])
        if ran.status and (found := re.search(r"(adb|error): (.*(not found|unauthorized|offline|no devices).*)", told)):
            raise ConfigError(f"can't reach {self.name}: {found[2][:200]}; see adb devices")
        return ran


@dataclass(frozen=True)
class Remote:
    """Another machine, and how to work there.

    Attributes:
        address: ``ssh://[user@]host[:port]`` or ``adb://SERIAL``.
        python: name or path of Python there.
        ssh_config: a configuration file in place of ssh's usual ones.
    """

    address: str
    python: str = "python3"
    ssh_config: Path | None = None

    def transport(self) -> Transport:
        """The way there.

        Raises:
            ConfigError: not such an address.
        """
        return Adb(self.address) if self.address.startswith("adb://") else Ssh(self.address, self.ssh_config)


_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9a-fA-F:.]+(%[A-Za-z0-9._-]+)?\]")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@\\-]*")
_SERIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")


def _parsed(address: str) -> tuple[str | None, str, int | None]:
    """By hand: ``urlsplit`` takes newlines out and writes hosts small, and ssh's aliases aren't alike in both."""
    scheme, _, rest = address.partition("://")
    user, at, place = rest.removesuffix("/").rpartition("@")
    bracket = place.rfind("]") + 1  # before it, colons are of an IPv6 address
    host, colon, port = place[bracket:].partition(":")
    user, host = unquote(user), unquote(place[:bracket] + host)
    wrong = {
        "": scheme.lower() != "ssh",
        ": ssh takes keys, no password": ":" in user,
        ": no path belongs there": "/" in place,
        f": {user!r:.40} is no user": bool(at and not _USER.fullmatch(user)),
        f": {port!r:.40} is no port": bool(colon and not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536)),
        f": {host!r:.40} is no host": not _HOST.fullmatch(host),
    }
    for why in (why for why, is_so in wrong.items() if is_so):
        raise ConfigError(f"{address!r:.100} is neither ssh://[user@]host[:port] nor adb://SERIAL{why}")
    return user or None, host.strip("[]"), int(port) if port else None


def _process(
    command: Sequence[str], on_line: Tell, source: IO[bytes] | None = None, target: IO[bytes] | None = None
) -> Ran:
    """Run a program here; the lines are of its output, or with ``target`` of its errors only."""
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
    lines = []
    with process:
        for line in pipe:
            lines.append(line.decode(errors="replace").rstrip())
            on_line(lines[-1])
    return Ran(process.returncode, lines)
