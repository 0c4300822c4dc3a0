"""A kit, carried to another machine, run there and its result fetched.

The machine needs a POSIX shell and Python; nothing is left on it but, until the result is here, a folder named by
the kit. So when a connection drops, doing the same again goes on.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from tempfile import TemporaryDirectory

from hwnas.errors import ConfigError, DeviceError, KitError
from hwnas.profiling.kit import Kit
from hwnas.profiling.kit_main import DONE, PREFIX
from hwnas.profiling.transports import Transport
from hwnas.progress import Tell

_SHA256 = "import hashlib,sys;print(hashlib.sha256(open(sys.argv[1],'rb').read()).hexdigest())"
_OLDEST_PYTHON = (3, 8)


def check_python(transport: Transport, python: str) -> None:
    """Whether the machine can be reached and has a Python that a kit runs on.

    Raises:
        ConfigError: it can't, or hasn't.
        DeviceError: the connection dropped.
    """
    ran = transport.run([python, "-c", "import sys; print('python %d %d' % sys.version_info[:2])"])
    found = re.search(r"^python (\d+) (\d+)$", "\n".join(ran.lines), re.MULTILINE)
    if ran.status or not found:
        why = f" ({ran.lines[-1][:200]})" if ran.lines else ""
        raise ConfigError(f"{transport.name} can't run {python!r}{why}; install Python there, or say --python PATH")
    if (int(found[1]), int(found[2])) < _OLDEST_PYTHON:
        raise ConfigError(
            f"{python} on {transport.name} is Python {found[1]}.{found[2]}, a kit needs 3.8 or later; say --python PATH"
        )


def measure_on(transport: Transport, kit: Kit, result: Path, *, python: str, on_line: Tell) -> None:
    """Run a kit on another machine and fetch its result, or what an earlier call had to leave undone of both.

    ``on_line`` gets each line that the kit tells.

    Raises:
        ConfigError: the machine can't be reached as asked.
        KitError: the kit can't measure there as it is.
        DeviceError: it gave up half-way, or the connection dropped.
    """
    folder = _folder(transport, kit)
    there, made = f"{folder}/kit.pyz", f"{folder}/result.json"
    transport.run(["mkdir", "-p", folder]).check(f"can't make a folder on {transport.name}")
    if transport.run(["test", "-f", made]).status:
        if transport.run([python, "-c", _SHA256, there]).lines[-1:] != [hashlib.sha256(kit.data).hexdigest()]:
            on_line(f"copying {len(kit.data) / 1e6:.1f} MB to {transport.name}")
            with TemporaryDirectory() as local:
                path = Path(local) / "kit.pyz"
                path.write_bytes(kit.data)
                transport.copy_to(path, there)
        _measure(transport, [python, there, "-o", made], on_line)
    transport.fetch(made, result)


def clean_up(transport: Transport, kit: Kit) -> None:
    """Remove the kit and its result there, once the result is safe here; raises as :func:`measure_on`."""
    transport.run(["rm", "-r", _folder(transport, kit)]).check(f"can't clean up on {transport.name}")


def _folder(transport: Transport, kit: Kit) -> str:
    return f"{transport.folder}/{kit.sha256[:16]}"


def _measure(transport: Transport, command: list[str], on_line: Tell) -> None:
    ran = transport.run(command, lambda line: None if line.startswith((PREFIX, DONE)) else on_line(line))
    if ran.status:
        told = [line.removeprefix(PREFIX) for line in ran.lines if line.startswith(PREFIX)]
        reason = f"on {transport.name}: {told[-1] if told else ran.last_line}"
        if ran.status == 2:
            raise KitError(reason)
        if not told:
            reason += f" (exit status {ran.status}; killed, as for lack of memory?); the same command goes on"
        raise DeviceError(reason)
