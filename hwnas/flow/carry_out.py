"""A job, carried out: on this machine, on another, on several at once, or on those of a Ray cluster.

What every function here takes: ``job``, what to measure (see :mod:`hwnas.flow.jobs`); ``output``, a file
if the table is to be written; ``folder``, which gets a table of each device and whose tables aren't measured again;
``progress``, called while this machine works; ``tell``, which is told what other machines say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Generic

from hwnas.errors import ConfigError, HwnasError, InputError, KitError, OutputError, counted
from hwnas.files import refuse_existing
from hwnas.flow.jobs import Job, Table
from hwnas.profiling.kit import Kit
from hwnas.profiling.remote import check_python, clean_up, measure_on
from hwnas.profiling.transports import Remote, Transport
from hwnas.progress import Progress, Tell, silent
from hwnas.workers.base import Done, Failed
from hwnas.workers.registry import Threads, get_workers

SEVERAL = "several machines at once are for hwnas.flow.carry_out.profile_each"
"""What who names several where one is taken is told."""


@dataclass
class DeviceTables(Generic[Table]):
    """What came of several devices.

    Attributes:
        made: tables by their path, those that were there before included.
        failed: by its path, why a table couldn't be made.
    """

    made: dict[Path, Table] = field(default_factory=dict)
    failed: dict[Path, str] = field(default_factory=dict)


def profile_at(
    job: Job[Table],
    device: Remote | str | None = None,
    output: Path | None = None,
    *,
    progress: Progress | None = None,
    tell: Tell = silent,
) -> Table:
    """The table of another machine, or of its address; of this one if none is given.

    Raises:
        SpaceError: the space can't be made here.
        ConfigError: more threads than processors, the machine can't be reached as asked, or no kit has the runtime.
        ModelError: the runtime can run none of it.
        TableError: a known table is of another device.
        KitError: the kit can't measure there as it is, or what came back isn't what it asks for.
        DeviceError: the machine gave up half-way, or the connection dropped; the same call goes on.
        OutputError: the table can't be written.
    """
    if device is not None:
        device = _remote(device)
        transport = device.transport()
        check_python(transport, device.python)
        return _by_kit(job, job.kit(progress), transport, device.python, output, tell)
    table = job.here(progress)
    if output is not None:
        table.save(output)
    return table


def profile_each(
    job: Job[Table],
    devices: Sequence[Remote | str],
    folder: Path | str,
    *,
    progress: Progress | None = None,
    tell: Tell = silent,
) -> DeviceTables[Table]:
    """Tables of several machines, ``HOST.yaml``, or ``HOST.json`` of kernels, measured at the same time.

    One that fails keeps no other from its own.

    Raises:
        ConfigError: two devices of one host.
        OutputError: the folder is something else, or has a table that was measured otherwise.
    """
    folder = check_folder(folder)
    by_path: dict[Path, tuple[Transport, str]] = {}
    for device in map(_remote, devices):
        path = folder / f"{_host(device.address)}{job.suffix}"
        if path in by_path:
            raise ConfigError(f"two devices of --on would write {path}; leave one, or measure them one by one")
        by_path[path] = device.transport(), device.python
        by_path[path][0].folder += f"/{path.stem}"  # homes may be shared, and results must not be

    def measure(missing: list[Path]) -> Iterator[Done | Failed]:
        kit = job.kit(progress)

        def one(path: Path) -> Table:
            check_python(*by_path[path])
            return _by_kit(job, kit, *by_path[path], path, tell)

        return Threads().map(one, missing)

    return _each(job, by_path, measure, tell)


def profile_cluster(job: Job[Table], workers: str, folder: Path | str, *, tell: Tell = silent) -> DeviceTables[Table]:
    """Tables of the machines of a Ray cluster, each measured there and named as the machine.

    ``workers`` is ``ray`` or ``ray:ADDRESS``, see :func:`hwnas.workers.registry.get_workers`.

    Raises:
        ConfigError: the text doesn't name a cluster that answers.
        RuntimeMissingError: Ray isn't installed.
        OutputError: as :func:`profile_each`.
    """
    folder = check_folder(folder)
    if not re.match("ray(:|$)", workers):
        raise ConfigError(f"to profile, --workers is ray or ray:ADDRESS, got {workers!r:.100}")
    with closing(get_workers(workers)) as cluster:
        from hwnas.workers.on_ray import OnRay  # loads Ray

        assert isinstance(cluster, OnRay)

        def measure(missing: list[Path]) -> Iterator[Done | Failed]:
            return cluster.map_nodes(partial(_of_this_machine, job), [path.stem for path in missing])

        return _each(job, [folder / f"{name}{job.suffix}" for name in cluster.nodes()], measure, tell)


def check_folder(folder: Path | str) -> Path:
    """The folder, where tables can go.

    Raises:
        OutputError: it is something else, or can't be made.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} exists already and isn't a folder; the tables of several devices need one")
    if not folder.exists():
        refuse_existing(folder)
    return folder


def _remote(device: Remote | str) -> Remote:
    return Remote(device) if isinstance(device, str) else device


def _by_kit(job: Job[Table], kit: Kit, transport: Transport, python: str, output: Path | None, tell: Tell) -> Table:
    """Run a kit on another machine; its table is written before anything is removed there."""
    where = f"what came back from {transport.name}"
    with TemporaryDirectory() as folder:
        fetched = Path(folder) / "result.json"
        measure_on(transport, kit, fetched, python=python, on_line=lambda line: tell(f"{transport.name}: {line}"))
        try:
            returned = job.result(fetched)
            if returned.kit_sha256 != kit.sha256:
                raise KitError(f"{where} is of another kit; measure again")
            table = job.table(returned, where, tell)
        except InputError:
            clean_up(transport, kit)  # else the next attempt would find the same result there
            raise
    if output is not None:
        table.save(output)
    try:
        clean_up(transport, kit)
    except HwnasError as error:
        tell(f"the table is made, but {error}")
    return table


def _of_this_machine(job: Job[Table], name: str) -> Table:
    return job.here()


def _each(
    job: Job[Table], paths: Collection[Path], measure: Callable[[list[Path]], Iterator[Done | Failed]], tell: Tell
) -> DeviceTables[Table]:
    """The tables that an earlier call has made, and those that ``measure`` gives for the other paths.

    Raises:
        OutputError: one is of another job.
    """
    tables = DeviceTables({path: job.earlier(path, tell) for path in paths if path.exists()})
    for path in tables.made:
        tell(f"{path.stem}: {path} is there already; to measure again, remove it")
    missing = [path for path in paths if path not in tables.made]
    if not missing:
        return tables
    outcomes = measure(missing)
    tell(f"measuring {counted(len(missing), 'device')}: {', '.join(path.stem for path in missing)}")
    for outcome in outcomes:
        path = missing[outcome.index]
        if isinstance(outcome, Failed):
            tables.failed[path] = outcome.reason
            tell(f"{path.stem}: {outcome.reason}")
        else:
            tables.made[path] = outcome.value
            if not path.exists():  # it was measured where files may lie elsewhere
                outcome.value.save(path)
            tell(f"{path.stem}: measured")
    return tables


def _host(address: str) -> str:
    """``host`` or ``host-port`` of an address: the name of its table."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", address.partition("://")[2].rpartition("@")[2]).strip("-.")
