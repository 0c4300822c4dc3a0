"""`LocalProcesses`: workers on this machine, each a process that lives from call to call."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

from hwnas.errors import DeviceError
from hwnas.workers.base import MOST_DEATHS, Done, Failed, Item, carry_out, given_up, packed

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_MOST_STILLBORN = 3


class LocalProcesses:
    """Processes on this machine, started when there is work for them.

    Each has its share of the processors for its threads, unless the environment says how many. Each works on one item
    at a time, so when one dies it is known over which. They don't outlive this process, however it ends.

    Args:
        count: of processes.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._threads = max(1, cores // count)
        self._idle: list[_Process] = []
        self._stillborn = 0

    def map(self, function: Callable[[Item], Any], items: Sequence[Item]) -> Iterator[Done | Failed]:
        """One outcome for each item, as they come in.

        Raises:
            InputError: the function can't be pickled.
            DeviceError: processes die before they begin.
        """
        call = packed(function)
        waiting, deaths = deque(range(len(items))), Counter[int]()
        busy: dict[Any, tuple[_Process, int]] = {}
        try:
            while waiting or busy:
                while waiting and len(busy) < self._count:
                    process, index = self._some_process(), waiting.popleft()
                    busy[process.connection] = process, index
                    process.give((call, items[index], index))
                for connection in wait(list(busy)):
                    process, index = busy[connection]
                    try:
                        outcome = process.take()
                    except (EOFError, OSError):  # it is dead
                        deaths[index] += self._died_over_its_item(process)
                        outcome = given_up(index, process.fate()) if deaths[index] == MOST_DEATHS else None
                        if outcome is None:
                            waiting.append(index)
                    else:
                        if outcome is None:  # it has begun, and its item isn't done
                            continue
                        self._idle.append(process)
                    del busy[connection]
                    if outcome is not None:
                        yield outcome
        finally:
            for process, _ in busy.values():
                process.end()

    def close(self) -> None:
        """End the processes."""
        while self._idle:
            self._idle.pop().end()

    def _some_process(self) -> _Process:
        while self._idle:
            process = self._idle.pop()
            if process.lives():
                return process
            process.end()
        return _Process(self._threads)

    def _died_over_its_item(self, process: _Process) -> bool:
        """Else it never came to its item; that happening time and again is no item's fault."""
        self._stillborn = 0 if process.began else self._stillborn + 1
        if self._stillborn == _MOST_STILLBORN:
            raise DeviceError(
                f"worker processes end before they begin ({process.fate()}); "
                "is there memory for them? A script needs `if __name__ == '__main__':`"
            )
        return process.began


class _Process:
    """One worker, seen from its parent.

    Attributes:
        connection: to be waited for.
        began: whether it came as far as to take items.
    """

    def __init__(self, threads: int) -> None:
        context = get_context("spawn")  # a fork of a process with threads, as torch has them, may hang
        self.connection, there = context.Pipe()
        self.began = False
        self._process = context.Process(target=_serve, args=(there,), daemon=True)
        with _environment(threads), _without_ctrl_c():
            self._process.start()
        there.close()

    def give(self, work: tuple[bytes, Any, int]) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # it is dead, which ``take`` says
            self.connection.send(work)

    def take(self) -> Done | Failed | None:
        """An outcome; None when it has begun. EOFError or OSError: it is dead."""
        outcome: Done | Failed | None = self.connection.recv()
        self.began = True
        return outcome

    def lives(self) -> bool:
        return self._process.is_alive()

    def fate(self) -> str:
        """How it died, in words."""
        self._process.join()
        code = self._process.exitcode or 0
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()


def _serve(connection: Connection) -> None:
    """What a worker does."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    connection.send(None)
    while True:
        try:
            function, item, index = connection.recv()
        except EOFError:
            return
        connection.send(carry_out(function, item, index))


def _end_with_parent() -> None:
    """Also when the parent is killed while an item is worked on."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Set before the child begins, since libraries read it when they are loaded."""
    new = [name for name in _THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(new, str(threads)))
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """A terminal sends Ctrl-C to all of a command's processes. The parent alone heeds it, and ends its children."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # else the first start does it, which lets Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # children inherit it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
