"""Profiling machines elsewhere: one, several at once, or those of a Ray cluster, each with a table of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from hwnas.errors import ConfigError, HwnasError, InputError, KitError, OutputError
from hwnas.files import refuse_existing
from hwnas.flow.table import of_result
from hwnas.prediction.calibrate import calibrate_if_enough
from hwnas.profiling import remote as by_kit
from hwnas.profiling.kit import Kit, build_kit
from hwnas.profiling.plan import Plan
from hwnas.profiling.result import read_result
from hwnas.profiling.sweep import profile_plan
from hwnas.profiling.transports import Remote
from hwnas.progress import Progress, Tell, silent
from hwnas.runtimes.registry import get_runtime
from hwnas.space.chain import ChainSpace
from hwnas.tables.table import LatencyTable
from hwnas.workers.base import Done, Failed
from hwnas.workers.here import Threads
from hwnas.workers.registry import get_workers


@dataclass
class DeviceTables:
    """What came of several devices.

    Attributes:
        made: tables by their path, those that were there before included.
        failed: by its path, why a table couldn't be made.
    """

    made: dict[Path, LatencyTable] = field(default_factory=dict)
    failed: dict[Path, str] = field(default_factory=dict)


def profile_each(
    plan: Plan,
    space: ChainSpace,
    devices: Sequence[Remote],
    folder: Path,
    *,
    progress: Progress | None = None,
    tell: Tell = silent,
) -> DeviceTables:
    """Measure several machines at the same time; one that fails keeps no other from its table.

    Args:
        plan: what to measure, of ``space``.
        space: the plan's.
        devices: where.
        folder: gets a table of each, ``HOST.yaml``; those that are there already aren't measured again.
        progress: called while the kit is built.
        tell: is told what the machines say.

    Raises:
        ConfigError: two devices of one host.
        OutputError: the folder is something else, or has a table that was measured otherwise.
    """
    check_folder(folder)
    by_path: dict[Path, Remote] = {}
    for device in devices:
        path = folder / f"{_host(device.address)}.yaml"
        if path in by_path:
            raise ConfigError(f"two devices of --on would write {path}; measure them one by one")
        device.transport()  # its address is understood
        by_path[path] = device
    tables = DeviceTables(_there_already(by_path, plan, tell))
    missing = [path for path in by_path if path not in tables.made]
    if missing:
        runtime = get_runtime(plan.conditions.runtime, plan.conditions.options)
        kit = build_kit(plan, space, runtime, progress=progress)

        def measure(path: Path) -> LatencyTable:
            check_python(by_path[path])
            return profile_on(by_path[path], kit, path, tell, subfolder=path.stem)

        _gather(tables, missing, Threads().map(measure, missing), tell)
    return tables


def profile_cluster(plan: Plan, space: ChainSpace, workers: str, folder: Path, *, tell: Tell = silent) -> DeviceTables:
    """Measure each machine of a Ray cluster, on that machine.

    Args:
        plan: what to measure, of ``space``.
        space: the plan's.
        workers: ``ray`` or ``ray:ADDRESS``, see :func:`hwnas.workers.registry.get_workers`.
        folder: gets a table of each, named as the machine; those that are there already aren't measured again.
        tell: is told how it goes.

    Raises:
        ConfigError: the text doesn't name a cluster that answers.
        RuntimeMissingError: Ray isn't installed.
        OutputError: as :func:`profile_each`.
    """
    check_folder(folder)
    if not re.match("ray(:|$)", workers):
        raise ConfigError(f"to profile, --workers is ray or ray:ADDRESS, got {workers!r:.100}")
    with closing(get_workers(workers)) as cluster:
        from hwnas.workers.on_ray import OnRay  # loads Ray

        assert isinstance(cluster, OnRay)
        paths = [folder / f"{name}.yaml" for name in cluster.nodes()]
        tables = DeviceTables(_there_already(paths, plan, tell))
        missing = [path for path in paths if path not in tables.made]
        outcomes = cluster.map_nodes(_OfThisMachine(plan, space), [path.stem for path in missing])
        _gather(tables, missing, _saved(missing, outcomes), tell)
    return tables


def check_python(device: Remote) -> None:
    """Whether the machine can be reached and has a Python that a kit runs on; see :mod:`hwnas.profiling.remote`."""
    by_kit.check_python(device.transport(), device.python)


def profile_on(device: Remote, kit: Kit, output: Path | None, tell: Tell, *, subfolder: str = "") -> LatencyTable:
    """Run a kit on another machine; its table is written to ``output`` before anything is removed there.

    Args:
        device: where.
        kit: what to run.
        output: a YAML file, if it is to be written.
        tell: is told what the machine says.
        subfolder: of the folder of kits there: homes may be shared, and results must not be.

    Raises:
        ConfigError: the machine can't be reached as asked.
        KitError: the kit can't measure there as it is, or what came back isn't what it asks for.
        DeviceError: it gave up half-way, or the connection dropped.
    """
    transport = device.transport()
    if subfolder:
        transport.folder += f"/{subfolder}"
    with TemporaryDirectory() as folder:
        fetched = Path(folder) / "result.json"
        by_kit.measure_on(
            transport, kit, fetched, python=device.python, on_line=lambda line: tell(f"{transport.name}: {line}")
        )
        where = f"what came back from {transport.name}"
        try:
            returned = read_result(fetched)
            if returned.kit_sha256 != kit.sha256:
                raise KitError(f"{where} is of another kit; measure again")
            table = of_result(returned, where, tell)
        except InputError:
            by_kit.clean_up(transport, kit)  # else the next attempt would find the same result there
            raise
    if output is not None:
        table.save(output)
    try:
        by_kit.clean_up(transport, kit)
    except HwnasError as error:
        tell(f"the table is made, but {error}")
    return table


def check_folder(folder: Path) -> None:
    """Whether tables can go there.

    Raises:
        OutputError: it is something else, or can't be made.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} exists already and isn't a folder; the tables of several devices need one")
    if not folder.exists():
        refuse_existing(folder)


@dataclass(frozen=True)
class _OfThisMachine:
    plan: Plan
    space: ChainSpace

    def __call__(self, name: str) -> LatencyTable:
        runtime = get_runtime(self.plan.conditions.runtime, self.plan.conditions.options)
        return calibrate_if_enough(profile_plan(self.plan, self.space, runtime), self.space)


def _saved(paths: Sequence[Path], outcomes: Iterator[Done | Failed]) -> Iterator[Done | Failed]:
    for outcome in outcomes:
        if isinstance(outcome, Done):
            outcome.value.save(paths[outcome.index])
        yield outcome


def _gather(tables: DeviceTables, paths: Sequence[Path], outcomes: Iterator[Done | Failed], tell: Tell) -> None:
    tell(f"measuring {len(paths)} devices: {', '.join(path.stem for path in paths)}")
    for outcome in outcomes:
        path = paths[outcome.index]
        if isinstance(outcome, Failed):
            tables.failed[path] = outcome.reason
            tell(f"{path.stem}: {outcome.reason}")
        else:
            tables.made[path] = outcome.value
            tell(f"{path.stem}: measured")


def _there_already(paths: Iterable[Path], plan: Plan, tell: Tell) -> dict[Path, LatencyTable]:
    """The tables that an earlier call has made.

    Raises:
        OutputError: one is of another plan.
    """
    found = {path: LatencyTable.load(path) for path in paths if path.exists()}
    for path, table in found.items():
        of_space = table.space.fingerprint if table.space else None
        if (of_space, table.device.conditions) != (plan.space.fingerprint, plan.conditions):
            raise OutputError(f"{path} exists already and was measured otherwise; remove it or choose another folder")
        tell(f"{path.stem}: {path} is there already; to measure again, remove it")
    return found


def _host(address: str) -> str:
    """``host`` or ``host-port`` of an address: the name of its table."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", address.partition("://")[2].rpartition("@")[2]).strip("-.")
