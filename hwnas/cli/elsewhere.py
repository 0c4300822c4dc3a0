"""``hwnas profile`` of machines elsewhere: one, or several at once with a table of each in one folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from hwnas.cli import profiling
from hwnas.cli.console import Progress, print_result, say
from hwnas.cli.importing import taken_in
from hwnas.errors import ConfigError, DeviceError, HwnasError, InputError, KitError, OutputError
from hwnas.files import refuse_existing
from hwnas.workers.base import Done, Failed
from hwnas.workers.threads import Threads

if TYPE_CHECKING:  # imported when the verb runs
    from hwnas.profiling.kit import Kit
    from hwnas.profiling.plan import Plan
    from hwnas.profiling.remote import Transport
    from hwnas.runtimes.base import Runtime
    from hwnas.space.chain import ChainSpace
    from hwnas.tables.table import LatencyTable


@dataclass
class Tables:
    """What came of several devices.

    Attributes:
        made: tables by their path, those that were there before included.
        failed: by its path, why a table couldn't be made.
    """

    made: dict[Path, LatencyTable] = field(default_factory=dict)
    failed: dict[Path, str] = field(default_factory=dict)

    def tell(self, as_json: bool) -> None:
        """Print the end of the verb.

        Raises:
            DeviceError: a table couldn't be made.
        """
        summaries = {path: profiling.summary(table, path) for path, table in sorted(self.made.items())}
        result = {
            "tables": [{"name": path.stem, **summary} for path, (summary, _) in summaries.items()],
            "failed": [{"name": path.stem, "reason": reason} for path, reason in sorted(self.failed.items())],
        }
        print_result(result, as_json, *(f"{path.stem}: {line}" for path, (_, ls) in summaries.items() for line in ls))
        if self.failed:
            count = len(self.made) + len(self.failed)
            names = ", ".join(sorted(path.stem for path in self.failed))
            raise DeviceError(f"{len(self.failed)} of {count} devices have no table: {names}; the same command goes on")


def check_folder(folder: Path) -> None:
    """Whether tables can go there.

    Raises:
        OutputError: it is something else, or can't be made.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} exists already and isn't a folder; the tables of several devices need one")
    if not folder.exists():
        refuse_existing(folder)


def of_address(
    plan: Plan, space: ChainSpace, runtime: Runtime, address: str, ssh_config: Path | None, python: str, output: Path
) -> LatencyTable:
    """Measure one machine."""
    from hwnas.profiling.remote import check_python
    from hwnas.profiling.transports import transport_to

    transport = transport_to(address, ssh_config)
    check_python(transport, python)
    return _measured(_kit(plan, space, runtime), transport, python, output)


def of_addresses(
    plan: Plan,
    space: ChainSpace,
    runtime: Runtime,
    addresses: Sequence[str],
    ssh_config: Path | None,
    python: str,
    folder: Path,
) -> Tables:
    """Measure several machines at the same time.

    Raises:
        ConfigError: two addresses of one host.
    """
    from hwnas.profiling.remote import check_python
    from hwnas.profiling.transports import transport_to

    transports: dict[Path, Transport] = {}
    for address in addresses:
        path = folder / f"{_host(address)}.yaml"
        if path in transports:
            raise ConfigError(f"two devices of --on would write {path}; measure them one by one")
        transports[path] = transport_to(address, ssh_config)
        transports[path].folder += f"/{path.stem}"  # homes may be shared, and results must not be
    tables = Tables(_there_already(transports, plan))
    missing = [path for path in transports if path not in tables.made]
    if missing:
        kit = _kit(plan, space, runtime)

        def measure(path: Path) -> LatencyTable:
            check_python(transports[path], python)
            return _measured(kit, transports[path], python, path)

        _gather(tables, missing, Threads().map(measure, missing))
    return tables


def of_nodes(plan: Plan, space: ChainSpace, workers: str, folder: Path) -> Tables:
    """Measure each machine of a Ray cluster, on that machine.

    Raises:
        ConfigError: the text doesn't name a cluster that answers.
        RuntimeMissingError: Ray isn't installed.
    """
    if not re.match("ray(:|$)", workers):
        raise ConfigError(f"to profile, --workers is ray or ray:ADDRESS, got {workers!r:.100}")
    from hwnas.workers.on_ray import OnRay
    from hwnas.workers.registry import get_workers

    with closing(get_workers(workers)) as cluster:
        assert isinstance(cluster, OnRay)
        paths = [folder / f"{name}.yaml" for name in cluster.nodes()]
        tables = Tables(_there_already(paths, plan))
        missing = [path for path in paths if path not in tables.made]
        call = _OfThisMachine(plan, space)
        _gather(tables, missing, _saved(missing, cluster.map_nodes(call, [path.stem for path in missing])))
    return tables


@dataclass(frozen=True)
class _OfThisMachine:
    plan: Plan
    space: ChainSpace

    def __call__(self, name: str) -> LatencyTable:
        from hwnas.profiling.sweep import carry_out
        from hwnas.runtimes.registry import get_runtime

        runtime = get_runtime(self.plan.runtime, self.plan.options)
        return profiling.finished(carry_out(self.plan, self.space, runtime), self.space)


def _saved(paths: Sequence[Path], outcomes: Iterator[Done | Failed]) -> Iterator[Done | Failed]:
    for outcome in outcomes:
        if isinstance(outcome, Done):
            outcome.value.save(paths[outcome.index])
        yield outcome


def _gather(tables: Tables, paths: Sequence[Path], outcomes: Iterator[Done | Failed]) -> None:
    say(f"measuring {len(paths)} devices: {', '.join(path.stem for path in paths)}")
    for outcome in outcomes:
        path = paths[outcome.index]
        if isinstance(outcome, Failed):
            tables.failed[path] = outcome.reason
            say(f"{path.stem}: {outcome.reason}")
        else:
            tables.made[path] = outcome.value
            say(f"{path.stem}: measured")


def _there_already(paths: Iterable[Path], plan: Plan) -> dict[Path, LatencyTable]:
    """The tables that an earlier call has made.

    Raises:
        OutputError: one is of another plan.
    """
    from hwnas.tables.table import LatencyTable

    found = {path: LatencyTable.load(path) for path in paths if path.exists()}
    for path, table in found.items():
        device = table.device
        asked = (plan.space, plan.runtime, plan.precision, plan.threads, plan.batch)
        if (table.space, device.runtime, device.precision, device.threads, device.batch) != asked:
            raise OutputError(f"{path} exists already and was measured otherwise; remove it or choose another folder")
        say(f"{path.stem}: {path} is there already; to measure again, remove it")
    return found


def _kit(plan: Plan, space: ChainSpace, runtime: Runtime) -> Kit:
    from hwnas.profiling.kit import build_kit

    with Progress() as progress:
        return build_kit(plan, space, runtime, progress=progress)


def _measured(kit: Kit, transport: Transport, python: str, output: Path) -> LatencyTable:
    from hwnas.profiling.remote import clean_up, measure_on
    from hwnas.profiling.result import read_result

    with TemporaryDirectory() as folder:
        fetched = Path(folder) / "result.json"
        measure_on(transport, kit, fetched, python=python, on_line=lambda line: say(f"{transport.name}: {line}"))
        try:
            returned = read_result(fetched)
            if returned.kit_sha256 != kit.sha256:
                raise KitError(f"what came back from {transport.name} is of another kit; measure again")
            table = taken_in(returned, f"what came back from {transport.name}")
        except InputError:
            clean_up(transport, kit)  # else the next attempt would find the same result there
            raise
    table.save(output)
    try:
        clean_up(transport, kit)
    except HwnasError as error:
        say(f"the table is made, but {error}")
    return table


def _host(address: str) -> str:
    """``host`` or ``host-port`` of an address: the name of its table."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", address.partition("://")[2].rpartition("@")[2]).strip("-.")
