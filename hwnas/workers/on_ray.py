"""`OnRay`: workers on the machines of a Ray cluster, or on this one under a Ray of our own."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from hwnas.errors import ConfigError, DeviceError, RuntimeMissingError, printable
from hwnas.version import __version__
from hwnas.workers.base import MOST_DEATHS, Done, Failed, Item, carry_out, given_up, one_line, packed

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reads it when it is imported
try:
    import ray
    from ray.exceptions import LocalRayletDiedError, RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError:
    raise RuntimeMissingError('Ray isn\'t installed; pip install "hwnas[ray]"') from None

_OBJECTS_BYTES = 80 * 2**20  # Ray's least: what travels is small, and /dev/shm may be, too
_ANSWER_S = 5.0
_ATTEMPTS = 3
_IN_FLIGHT_PER_CPU = 2  # one runs, one waits: a worker doesn't wait for the driver


class OnRay:
    """One task for each item, with one CPU and so many threads. Ray gives a worker process task after task.

    A worker process has one task at a time, so its death is counted against that one; the death of a machine against
    all that it had. hwnas must be installed on every node, and files must lie at the same paths.

    Args:
        address: of a running cluster (see :func:`hwnas.workers.registry.get_workers`), which goes on running; None for
            a Ray on this machine that ends with ``close``. If this process is connected to a Ray already, None
            uses that and leaves it as it is.

    Raises:
        ConfigError: the cluster doesn't answer, or Ray can't start.
        RuntimeMissingError: Ray isn't installed.
    """

    def __init__(self, address: str | None) -> None:
        self._connected_here = address is not None or not ray.is_initialized()
        self._folder: TemporaryDirectory[str] | None = None  # of a Ray of our own, which leaves its logs
        if self._connected_here:
            if address is None:
                short = "/tmp" if sys.platform == "darwin" else None  # noqa: S108  (a socket's path has 104 letters)
                self._folder = TemporaryDirectory(prefix="ray-", dir=short, ignore_cleanup_errors=True)
            _connect(address, self._folder.name if self._folder else None)
        self._task = ray.remote(num_cpus=1, max_retries=0)(_carry_out)

    def map(self, function: Callable[[Item], Any], items: Sequence[Item]) -> Iterator[Done | Failed]:
        """One outcome for each item, as they come in.

        Raises:
            InputError: the function can't be pickled.
            DeviceError: Ray's node on this machine died.
            ConfigError: a node lacks hwnas, or has another one.
        """
        return self._outcomes(function, items, lambda item: self._task)

    def nodes(self) -> list[str]:
        """Names of the machines that are up and have a CPU for tasks."""
        return sorted(self._nodes())

    def map_nodes(self, function: Callable[[str], Any], names: Sequence[str]) -> Iterator[Done | Failed]:
        """``function(name)`` on each of some :meth:`nodes`, which has no other task meanwhile; else as :meth:`map`."""
        nodes = self._nodes()

        def task(name: str) -> Any:
            there = NodeAffinitySchedulingStrategy(nodes[name]["NodeID"], soft=False)
            return self._task.options(num_cpus=nodes[name]["Resources"]["CPU"], scheduling_strategy=there)

        return self._outcomes(function, names, task)

    def _nodes(self) -> dict[str, dict[str, Any]]:
        """One of each machine, though several may run there."""
        return {
            node["NodeManagerHostname"]: node
            for node in ray.nodes()  # type: ignore[no-untyped-call]
            if node["Alive"] and node["Resources"].get("CPU", 0) >= 1
        }

    def _outcomes(
        self, function: Callable[[Item], Any], items: Sequence[Item], task: Callable[[Item], Any]
    ) -> Iterator[Done | Failed]:
        call = packed(function, ray.cloudpickle.dumps)  # also what is defined in a script
        waiting, deaths = deque(range(len(items))), Counter[int]()
        running: dict[Any, int] = {}
        try:
            while waiting or running:
                while waiting and len(running) < _IN_FLIGHT_PER_CPU * _cpus():
                    index = waiting.popleft()
                    running[task(items[index]).remote(__version__, call, items[index], index)] = index
                done = ray.wait(list(running))[0][0]
                index = running.pop(done)
                try:
                    yield ray.get(done)
                except RayTaskError as error:  # ``_carry_out`` itself raised, or couldn't be imported
                    raise ConfigError(
                        f"a node of the cluster can't work for this hwnas {__version__}; install the same there "
                        f"({one_line(error.cause)[-200:]})"
                    ) from None
                except LocalRayletDiedError:  # no item's fault, and nothing more can be sent from here
                    raise DeviceError(
                        "Ray's node on this machine died, and what was under way with it; run the same again, a search "
                        "with --resume, and it goes on"
                    ) from None
                except RayError as error:
                    deaths[index] += 1
                    if deaths[index] == MOST_DEATHS:
                        yield given_up(index, one_line(error)[:200])
                    else:
                        waiting.append(index)
        finally:
            for left in running:
                ray.cancel(left, force=True)

    def close(self) -> None:
        """Disconnect; a Ray that was started for this ends."""
        if self._connected_here:
            ray.shutdown()
        if self._folder:
            self._folder.cleanup()


def _carry_out(version: str, function: bytes, item: Any, index: int) -> Done | Failed:
    if version != __version__:
        raise ConfigError(f"{socket.gethostname()} has hwnas {__version__}")
    return carry_out(function, item, index)


def _cpus() -> int:
    return max(1, int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]


def _connect(address: str | None, folder: str | None) -> None:
    if address is not None and address != "auto":
        _check_answers(address)
    if ray.is_initialized():
        raise ConfigError(f"can't connect to Ray at {address}: this process is connected to another already")
    own: dict[str, Any] = {"object_store_memory": _OBJECTS_BYTES, "include_dashboard": False, "_temp_dir": folder}
    try:
        for again in reversed(range(_ATTEMPTS)):
            try:
                ray.init(
                    address or "local", log_to_driver=False, logging_level=logging.ERROR, **(own if folder else {})
                )
                break
            except ConnectionAbortedError:  # a busy client server gives up on starting a server for this client
                if not again:
                    raise
    except Exception as error:  # Ray has no class for what can go wrong here
        where = f"can't connect to Ray at {address}" if address else "can't start Ray here"
        token = "; does the cluster want a token (RAY_AUTH_MODE=token)?" if address else ""
        raise ConfigError(f"{where}: {one_line(error)[:300]}{token}") from None
    # When something dies, Ray prints up to dozens of lines on standard output, where JSON may go; no setting stops it.
    ray._private.worker.print_to_stdstream = _tell


def _check_answers(address: str) -> None:
    """Ray waits for minutes for what isn't there, so ask first for what any gRPC server says: HTTP/2's settings."""
    wrong = f"can't connect to Ray at {address!r:.100}"
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        if not parts.hostname or not parts.port:
            raise ValueError
    except ValueError:
        raise ConfigError(f"{wrong}: that isn't HOST:PORT, auto or ray://HOST:PORT") from None
    try:
        with socket.create_connection((parts.hostname, parts.port), timeout=_ANSWER_S) as connection:
            if os.environ.get("RAY_USE_TLS", "0") == "0":
                connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")  # RFC 9113 §3.4
                if connection.recv(9)[3:4] != b"\x04":
                    raise ConfigError(f"{wrong}: something else answers there; is the port right?")
    except OSError as error:
        raise ConfigError(f"{wrong}: {error.strerror or error}; is the cluster running, is the port right?") from None


def _tell(data: dict[str, Any], *_: Any, **__: Any) -> None:
    """What Ray says of deaths: its first sentence, on standard error."""
    for text in data["lines"]:
        first = printable(text.strip().partition("\n")[0].partition(". ")[0])
        print(f"Ray: {first}\n", end="", file=sys.stderr, flush=True)
