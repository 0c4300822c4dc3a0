"""A kit, carried to another machine, run there and its result fetched.

The machine needs a POSIX shell and Python; nothing is left on it but, until the result is here, a folder named by
the kit. So when a connection drops, doing the same again goes on.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from hwnas.errors import ConfigError, DeviceError, KitError
from hwnas.profiling.kit import Kit
from hwnas.profiling.kit_main import PREFIX
from hwnas.progress import Tell

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

    def run(self, command: Sequence[str], on_line: Tell) -> int:
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


def measure_on(transport: Transport, kit: Kit, result: Path, *, python: str, on_line: Tell) -> None:
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


def _bring(transport: Transport, kit: Kit, remote: str, python: str, on_line: Tell) -> None:
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


def _measure(transport: Transport, command: Sequence[str], on_line: Tell) -> None:
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
