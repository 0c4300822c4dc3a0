"""What a kit runs on the device: ``python KIT.pyz -o RESULT``, or ``--check``.

Measures what the kit's plan asks for and writes one JSON file. Nothing is written but RESULT and, beside it,
RESULT.journal, which lets the same command go on after a kill.

Part of profiling kits: Python ≥ 3.8, standard library and numpy only.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from contextlib import suppress
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.errors import ConfigError, DeviceError, HwnasError, ModelError, OutputError, RuntimeMissingError, counted
from hwnas.own_process import running
from hwnas.profiling import machine

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from subprocess import Popen

    from hwnas.profiling.journal import FileJournal
    from hwnas.profiling.kit_file import KitFile
    from hwnas.profiling.run import Model
    from hwnas.runtimes.base import Runtime

PREFIX = "hwnas kit: "
"""Before the one line that says why a kit stopped."""

DONE = "done: "
"""Before the line that says what to do with the result by hand."""

_NEEDED_DISK_BYTES = 16 << 20  # the journal and the result take a few MB
_LOW_DISK_BYTES = 1 << 20
_MEMORY_PER_BYTE = 2  # of models that are loaded: their weights are kept and, packed, kept again (measured: 2.8)
_SMALLER = "build a kit of fewer models, or of a space with fewer --networks and --held-out"
_LOW_BATTERY_PERCENT = 10
_SECONDS_BETWEEN_LINES = 2.0
_CLEAR_LINE = "\r\033[K"


def main(kit: str, arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0, 2 for what was asked wrongly, 1 for what went wrong, 130 for Ctrl-C."""
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed
            setattr(sys, stream, open(os.devnull, "w"))  # noqa: SIM115  (for as long as the process lives)
    asked = _parser(kit).parse_args(arguments)
    try:
        _run(Path(kit), asked.output, asked.first)
        return 0
    except HwnasError as error:
        return _stop(str(error), error.exit_status)
    except MemoryError:
        return _stop(f"out of memory; free some, or {_SMALLER}", 1)
    except BrokenPipeError:  # nobody watches any more, as when a connection was lost
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        return 1
    except OSError as error:
        return _stop("can't use {}: {}".format(error.filename or "a file", error.strerror or error), 1)
    except KeyboardInterrupt:
        return _stop("interrupted; the same command goes on from here", 130)


def _parser(kit: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python {os.path.basename(kit)}",
        description="Measures how long neural networks and their parts take on this device. "
        "Give it the device alone: other work is measured too. After a kill, the same command goes on.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("-o", "--output", type=Path, metavar="RESULT", help="the file to write, for: hwnas table import")
    what.add_argument("--check", action="store_true", help="say what is here, load one model and measure nothing")
    what.add_argument("--try", type=int, dest="first", help=argparse.SUPPRESS)  # what the kit itself asks of a process
    return parser


def _run(path: Path, output: Path | None, first: int | None) -> None:
    try:
        from hwnas.profiling.kit_file import KitFile
    except ImportError as error:
        raise RuntimeMissingError(
            f"numpy isn't usable here ({error}); run: {sys.executable} -m pip install numpy"
        ) from None
    kit = KitFile(path)
    plan = kit.content["plan"]
    runtime = _runtime(kit)
    cores = machine.usable_cores()
    threads = plan["conditions"]["threads"]
    if threads > cores:
        raise ConfigError(
            f"the kit measures with {threads} threads, this process may use {cores}; build one with --threads {cores}"
        )
    if first is not None:
        _try(kit, runtime, first)
        return
    _say_if_other_kernels(kit, runtime)
    if output is None:
        _check(kit, runtime)
    else:
        _measure(kit, runtime, output, partial(running, path, "--try"))


def _runtime(kit: KitFile) -> Runtime:
    home = kit.content["runtime"]
    try:
        runtime = getattr(importlib.import_module(home["module"]), home["class"])(
            kit.content["plan"]["conditions"]["options"]
        )
    except RuntimeMissingError as error:
        if error.not_imported is None:
            raise
        package = kit.content["plan"]["conditions"]["runtime"]  # pip calls the runtimes of kits as hwnas does
        raise RuntimeMissingError(f"{error.not_imported}; run: {sys.executable} -m pip install {package}") from None
    return runtime  # type: ignore[no-any-return]


def _try(kit: KitFile, runtime: Runtime, first: int) -> None:
    from hwnas.profiling.isolated import run_each

    asked = kit.content["plan"]["conditions"]
    models = [partial(kit.model, entry) for entry in kit.kernels()[first:]]
    run_each(models, runtime, threads=asked["threads"], precision=asked["precision"])


def _say_if_other_kernels(kit: KitFile, runtime: Runtime) -> None:
    """What a runtime makes of a model depends on its version and on the processor."""
    planned = kit.content["runtime"]["version"], kit.content["runtime"]["hardware"]
    here = runtime.version(), runtime.accelerator() or machine.describe()["hardware"]
    if kit.kernels() and planned != here:
        _say(
            f"the kernels are those that {runtime.name} {' makes on '.join(planned)}; "
            f"{' on '.join(here)}, as here, it may make others"
        )


def _check(kit: KitFile, runtime: Runtime) -> None:
    import numpy

    from hwnas.onnx.stand_in import stand_in

    print(f"Python {sys.version.split()[0]}, numpy {numpy.__version__}, {runtime.name} {runtime.version()}")
    plan = kit.content["plan"]
    kernels = set(kit.kernels())  # which may crash this process: the first of something else, if there is any
    there = [entry for entry, model in enumerate(kit.content["models"]) if "failed" not in model]
    model = kit.model(min(there, key=kernels.__contains__))
    asked = plan["conditions"]
    session = runtime.load(model.data, threads=asked["threads"], precision=asked["precision"], as_is=model.as_is)
    session.bind([stand_in(port) for port in model.inputs])()
    count, at_most_s = len(kit.content["models"]), plan["effort"]["at_most_s"]
    print(f"a first model runs; {count} are to be measured, in about {at_most_s:.0f} s once all are loaded")


def _measure(
    kit: KitFile, runtime: Runtime, output: Path, start: Callable[[int], AbstractContextManager[Popen[bytes]]]
) -> None:
    from hwnas.profiling.journal import FileJournal
    from hwnas.profiling.kit_file import seal
    from hwnas.profiling.run import run_plan

    _check_room(kit, output)
    begun = {"started": datetime.now(timezone.utc).isoformat(timespec="seconds"), "before": machine.state()}  # noqa: UP017
    kept, go_on = output.with_name(output.name + ".journal"), partial(_check_goes_on, output.parent)
    journal = FileJournal(kept, kit.sha256, _identity(runtime), begun, go_on)
    _refuse_existing(output)  # the process whose end the journal waited for may have finished the work
    if journal.rounds:
        _say(f"going on after {counted(journal.rounds, 'round')} of an earlier process")
    if "battery_percent" in begun["before"]:
        _say("this device runs on its battery, which may slow it down: plug it in if you can")
    readers = [partial(kit.model, entry) for entry in range(len(kit.content["models"]))]
    try:
        for entry, why in _harmful(kit, journal, start).items():
            readers[entry] = partial(_refuse, why)
        result = run_plan(kit.content["plan"], readers, runtime, journal=journal, progress=_Progress())
    except BaseException:
        journal.remove_if_empty()
        raise
    result.update(journal.begun)
    result["kit"] = kit.content
    result["sha256"] = seal(result)
    _write(output, json.dumps(result, indent=1) + "\n")
    journal.remove()
    _say(f"{DONE}{output}; take it to where hwnas is: hwnas table import {output.name} -o TABLE")


def _harmful(
    kit: KitFile, journal: FileJournal, start: Callable[[int], AbstractContextManager[Popen[bytes]]]
) -> dict[int, str]:
    """Entry -> why, of kernels that aren't to be run in this process; an earlier one has found out already."""
    from hwnas.profiling.isolated import harmful

    kernels = kit.kernels()
    if journal.rounds:
        return {entry: journal.failed[str(entry)] for entry in kernels if str(entry) in journal.failed}
    return {kernels[index]: why for index, why in harmful(len(kernels), start, progress=_Progress()).items()}


def _refuse(why: str) -> Model:
    raise ModelError(why)


def _identity(runtime: Runtime) -> str:
    """Of this device as it measures, as far as it tells: a stick, with a journal on it, may go from one to another."""
    known = machine.describe()
    return f"{platform.node()}, {known['hardware']}, {known['cores']} cores, {runtime.name} {runtime.version()}"


def _check_room(kit: KitFile, output: Path) -> None:
    _refuse_existing(output)
    if not output.parent.is_dir() or not os.access(str(output.parent), os.W_OK):
        raise OutputError(f"{output.parent} isn't a folder that can be written to")
    free = machine.free_bytes(output.parent)
    if free < _NEEDED_DISK_BYTES:
        raise DeviceError(
            f"{output.parent.resolve()} has {free >> 20} MB free, {_NEEDED_DISK_BYTES >> 20} MB are needed; make room"
        )
    memory, needed = machine.available_memory_bytes(), _MEMORY_PER_BYTE * kit.model_bytes()
    if memory is not None and memory < needed:
        raise DeviceError(
            f"the models need {needed >> 20} MB of memory or more, {memory >> 20} MB are free; free some or {_SMALLER}"
        )


def _refuse_existing(output: Path) -> None:
    if output.exists():
        raise OutputError(f"{output} exists already; remove it or name another")


def _check_goes_on(folder: Path) -> None:
    """Stops after a round when the device is about to give up."""
    if machine.free_bytes(folder) < _LOW_DISK_BYTES:
        raise DeviceError("the disk is full; make room, then the same command goes on")
    battery = machine.battery_percent()
    if battery is not None and battery <= _LOW_BATTERY_PERCENT:
        raise DeviceError(f"the battery is at {battery:.0f} %; plug it in, then the same command goes on")


class _Progress:
    """One line that changes on a terminal, else a new line now and then."""

    def __init__(self) -> None:
        self._begin: dict[str, tuple[float, int]] = {}
        self._shown = 0.0

    def __call__(self, what: str, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        begin, at = self._begin.setdefault(what, (now, done))
        if done < total and now - self._shown < (0.2 if sys.stderr.isatty() else _SECONDS_BETWEEN_LINES):
            return
        self._shown = now
        line = f"{what:<9} {done / total:>4.0%}"
        if done < total and done > at:
            line += f"  about {(now - begin) / (done - at) * (total - done):.0f} s left"
        if note:
            line += "  " + note
        _tell(f"{_CLEAR_LINE}{line}" if sys.stderr.isatty() else f"{line}\n")


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(str(temporary), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(str(temporary), str(path))
    except OSError as problem:
        with suppress(OSError):
            temporary.unlink()
        raise DeviceError(f"can't write {path}: {problem.strerror}; make room, then the same command goes on") from None


def _stop(message: str, status: int) -> int:
    _say(PREFIX + " ".join(message.split()))
    return status


def _say(line: str) -> None:
    _tell(f"{_CLEAR_LINE if sys.stderr.isatty() else ''}{line}\n")


def _tell(text: str) -> None:
    """To whoever watches, in whatever alphabet their terminal has."""
    encoding = sys.stderr.encoding or "ascii"
    sys.stderr.write(text.encode(encoding, "replace").decode(encoding))
    sys.stderr.flush()
