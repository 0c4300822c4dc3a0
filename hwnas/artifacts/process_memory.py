"""What a loaded file adds to its process's memory, measured in a process of its own.

Counted is the peak of resident memory (Linux's ``VmHWM``) from before the file is loaded to after one inference: the
session's weights and buffers, what loading takes beside them, and libraries that the runtime only loads then. Not
counted are Python, the runtime's package, the file's own bytes, and memory of a GPU.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from hwnas.arrays import Port
from hwnas.artifacts.formats.base import Files, get_format
from hwnas.errors import ModelError
from hwnas.files import read_json, to_json
from hwnas.onnx.stand_in import stand_in
from hwnas.own_process import ending, started
from hwnas.records.target import Target

_STATUS = Path("/proc/self/status")
_PEAK_STARTS_ANEW = Path("/proc/self/clear_refs")
_LIMIT_S = 600


def peak_memory_mb(files: Files, target: Target, feed: Sequence[Port], *, trusted: bool = False) -> float | None:
    """Peak memory in MB (10⁶ bytes) of loading a target's files, and one inference on one thread.

    None where the system doesn't tell. ``feed`` is what the network takes at once.
    ``trusted`` says whether engines that nothing vouches for may be loaded.

    Raises:
        ModelError: the process crashed or took far too long: these files mustn't be loaded into this one.
    """
    if not _STATUS.exists():
        return None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for suffix, content in files.items():
            (folder / f"file{suffix}").write_bytes(content)
        ports = [[port.name, port.dtype, list(port.shape)] for port in feed]
        asked = {"target": target.plain(), "suffixes": list(files), "feed": ports, "trusted": trusted}
        (folder / "asked").write_text(to_json(asked))
        try:
            with started(__name__, name) as process:
                told, _ = process.communicate(timeout=_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise ModelError(f"a process that loads it takes longer than {_LIMIT_S} s") from None
        except OSError:
            return None
    if process.returncode < 0:
        raise ModelError(f"a process that loads it ends with {ending(process.returncode)}")
    return float(told.split()[-1]) if process.returncode == 0 else None


def _measure(folder: Path) -> float:
    asked = read_json(folder / "asked", ModelError)
    files = {suffix: (folder / f"file{suffix}").read_bytes() for suffix in asked["suffixes"]}
    ports = [Port(name, dtype, tuple(shape)) for name, dtype, shape in asked["feed"]]
    return _measure_here(files, Target.of_plain(asked["target"], "target"), ports, trusted=asked["trusted"])


def _measure_here(files: Files, target: Target, ports: Sequence[Port], *, trusted: bool) -> float:
    kind = get_format(target.format)
    kind.runtime(target)  # its package is in memory before the measuring begins
    feed = list(map(stand_in, ports))
    if target.preprocessing == "inside":
        feed = [np.ascontiguousarray(images.transpose(0, 2, 3, 1).astype(np.uint8)) for images in feed]
    return added_mb(lambda: kind.open(files, target, threads=1, trusted=trusted).bind(feed)())


def added_mb(work: Callable[[], object]) -> float:
    """What ``work`` adds to this process's memory at its peak, in MB (10⁶ bytes). Linux tells.

    Raises:
        OSError: this system doesn't.
    """
    with suppress(OSError):
        _PEAK_STARTS_ANEW.write_text("5")
    before_kib = _status_kib("VmRSS")
    work()
    return (_status_kib("VmHWM") - before_kib) * 1024 / 1e6


def _status_kib(name: str) -> int:
    lines = (line.split() for line in _STATUS.read_text().splitlines())
    return next(int(words[1]) for words in lines if words[:1] == [f"{name}:"])


if __name__ == "__main__":
    print(_measure(Path(sys.argv[1])))
