"""``report``: one HTML page of what was searched, trained, shipped and measured.

A work folder is what ``hwnas demo`` makes, or one laid out like it: ``table.yaml``, ``supernet/``, ``search/``,
``finetuning/``, ``artifact/``, ``bench.json``, ``steps.json``. What isn't there isn't shown. A search folder alone will
do as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from hwnas.artifacts.bundle import Artifact, load_artifact
from hwnas.errors import ModelError
from hwnas.files import read_yaml, refuse_existing, write_atomic
from hwnas.flow.open import BudgetedTable, Tables, open_budgeted
from hwnas.flow.predict import predicted_interval_ms
from hwnas.graph.count import count
from hwnas.optimize.problem import Budget
from hwnas.prediction.latency import LatencyPredictor
from hwnas.records.bench import BenchRecord
from hwnas.records.demo import StepsRecord
from hwnas.records.search import SearchRecord
from hwnas.reporting.report import render
from hwnas.reporting.views import Device, Latency, NetworkLatency, Report, Training, Winner
from hwnas.space.arch import Arch
from hwnas.space.chain import ChainSpace
from hwnas.tables.table import LatencyTable
from hwnas.training.log import read_log
from hwnas.version import __version__


def report(
    found: SearchRecord | Path | str,
    *,
    artifact: Artifact | Path | str | None = None,
    tables: Tables = (),
    output: Path | str,
) -> Path:
    """Write the page, readable offline.

    Args:
        found: a search, or a folder that `hwnas demo` or a search made; of a folder everything that it holds, and the
            table and supernet that its search names.
        artifact: what was made of the winner, where it doesn't lie in the folder.
        tables: of other devices, and maybe budgets there, to compare the front's latency on.
        output: the HTML file.

    Returns:
        The output.

    Raises:
        ModelError: there is nothing to report on, or a file is malformed or was altered.
        MissingOpError: the table of another device isn't of the search's space.
        OutputError: the output exists already or can't be written.
    """
    refuse_existing(Path(output))
    others = open_budgeted(tables)
    made = artifact if isinstance(artifact, Artifact) or artifact is None else load_artifact(Path(artifact))
    shown = gather(found if isinstance(found, SearchRecord) else Path(found), made, others)
    write_atomic(Path(output), render(shown))
    return Path(output)


def gather(of: SearchRecord | Path, artifact: Artifact | None = None, others: Sequence[BudgetedTable] = ()) -> Report:
    """What is shown of a folder, or of a search that needn't lie in one; see :func:`report`."""
    folder = search_path = found = None
    if isinstance(of, SearchRecord):
        found, name = of, f"a search of {of.space.name}"
    else:
        if not of.is_dir():
            what = "is no folder" if of.exists() else "doesn't exist"
            raise ModelError(f"{of} {what}; give a folder that hwnas search or hwnas demo made")
        folder, name = of, of.name
        if search_path := _first_there(of / "search.json", of / "search" / "search.json"):
            found = SearchRecord.read(search_path)
        if artifact is None and (of / "artifact").is_dir():
            artifact = load_artifact(of / "artifact")
    table_path = _first_there(*_tables(folder, search_path, found))
    table = LatencyTable.load(table_path) if table_path else None
    if found is None and artifact is None and table is None:
        raise ModelError(f"{folder} holds no search, artifact or table to report on")
    if found is None and others:
        raise ModelError(f"{folder} holds no search whose front could be compared on another device; leave --table out")
    supernets = [found.supernet.run] if found and found.supernet else []
    runs = {"supernet": _first_there(*([folder / "supernet"] if folder else []), *supernets)}
    steps = bench_path = None
    if folder:
        runs["finetuning"] = _first_there(folder / "finetuning")
        steps, bench_path = _first_there(folder / "steps.json"), _first_there(folder / "bench.json")
    benched = BenchRecord.read(bench_path) if bench_path else None
    arch = artifact.arch if artifact else found.winner if found else None
    return Report(
        title=f"{arch.space.name} on {table.device.hardware}" if arch and table else name,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        search=found,
        devices=_devices(found, others) if found else (),
        winner=_winner(arch, artifact, found, table) if arch else None,
        latency=_latency(table, arch, artifact, found, benched) if arch and table else None,
        artifact=artifact.manifest if artifact else None,
        bench=benched if artifact else None,
        training=tuple(
            Training(name=name, log=tuple(read_log(run)), config=read_yaml(run / "config.yaml", ModelError))
            for name, run in runs.items()
            if run
        ),
        how=StepsRecord.read(steps).steps if steps else (),
    )


def _first_there(*paths: Path) -> Path | None:
    return next((path for path in paths if path.exists()), None)


def _tables(folder: Path | None, search_path: Path | None, found: SearchRecord | None) -> Iterator[Path]:
    """Where the table of the first device may be, the best first: refitted after the search, or as it was."""
    column = found.latency_column(0) if found else None
    if found and found.measured and search_path and column is not None:
        name = found.objectives[column].name
        yield from (search_path.parent / each.table for each in found.measured.objectives if each.objective == name)
    if folder and (search_path is None or search_path.parent != folder):
        yield folder / "table.yaml"  # in a search folder every table is a refitted one, maybe of another device
    yield from (table.path for table in (found.tables[:1] if found else ()) if table.path)


def _devices(found: SearchRecord, others: Sequence[BudgetedTable]) -> tuple[Device, ...]:
    """The devices that were searched for and then the others, called like their tables unless two have one name.

    Raises:
        MissingOpError: a table isn't of the search's space, or an arch can't run on its device.
        BudgetError: a budget isn't a positive number of ms.
    """
    paths = {str(table.path or table.name): table.name for table in found.tables} | {str(o): o.name for o in others}
    names = Counter(paths.values())

    def short(path: str) -> str:
        return paths[path] if names[paths[path]] == 1 else path

    devices = []
    for index, table in enumerate(found.tables):
        column = found.latency_column(index)
        if column is not None:
            devices.append(
                Device(
                    name=short(str(table.path or table.name)), device=table.device,
                    latency_ms=found.values[:, column], budget_ms=table.budget_ms, interpolated=table.interpolated,
                )
            )  # fmt: skip
    for other in others:
        if other.budget_ms is not None:
            Budget(f"latency_ms {other}", other.budget_ms)  # refuses what makes no sense
        predictor = LatencyPredictor(other.table, found.get_space())
        devices.append(
            Device(
                name=short(str(other)), device=str(other.table.device), latency_ms=predictor(found.archs),
                budget_ms=other.budget_ms, interpolated=len(predictor.interpolated),
            )
        )  # fmt: skip
    return tuple(devices)


def _kept(arch: Arch, artifact: Artifact | None) -> ChainSpace:
    return artifact.manifest.space_of_network() if artifact else arch.space.inheriting()


def _winner(arch: Arch, artifact: Artifact | None, found: SearchRecord | None, table: LatencyTable | None) -> Winner:
    space = _kept(arch, artifact)
    graph = space.graph(arch.choices)
    counted = count(graph)
    accuracies: dict[str, float] = {}
    if found and found.supernet and found.winner_index is not None and found.index_of(arch) == found.winner_index:
        accuracies["inherited, validation"] = float(found.values[found.winner_index, 0])
    if artifact:
        accuracies |= artifact.manifest.accuracy
    return Winner(
        arch=arch,
        walk=tuple((node.place, node.op) for node in graph),
        predicted_ms=LatencyPredictor(table, space).per_layer_ms(arch.choices) if table else {},
        stabilizers={each.layer: str(each) for each in artifact.manifest.stabilizers} if artifact else {},
        madds=counted.madds,
        params=counted.params,
        accuracies=accuracies,
    )


def _latency(
    table: LatencyTable, arch: Arch, artifact: Artifact | None, found: SearchRecord | None, benched: BenchRecord | None
) -> Latency:
    plain = LatencyPredictor(table, arch.space)
    by_table = predicted_interval_ms(table, _kept(arch, artifact), arch.choices)
    here = table.device
    conditions = (here.runtime, here.precision, here.threads, here.batch)
    comparable = [
        row
        for row in (benched.results if benched else ())
        if (row.runtime, row.precision, row.threads, row.batch) == conditions
    ]
    predicted_ms, low_ms, high_ms = benched.drifted(by_table) if benched else by_table
    fields = {
        **{name.replace("_", " "): str(value) for name, value in here.model_dump().items()},
        "origin": str(table.protocol or table.provenance),
    }
    if table.calibration:
        fields["calibration"] = f"a network takes {table.calibration}"
    measured_ms: tuple[float | None, ...] = (None, None, None)
    if benched and comparable:
        fields["by the table alone"] = f"{by_table[0]:.3f} ms"
        fields["drift since"] = f"{benched.drift or 1:.3f} ×, by the table's own networks, timed beside the winner"
        measured_ms = comparable[0].p10_ms, comparable[0].p50_ms, comparable[0].p90_ms
    elif found and (point := found.measured_point(0, found.index_of(arch))):
        measured_ms = point.measured_p10_ms, point.measured_ms, point.measured_p90_ms
    p10_ms, p50_ms, p90_ms = measured_ms
    return Latency(
        device=str(here),
        fields=fields,
        predicted_ms=predicted_ms,
        low_ms=low_ms,
        high_ms=high_ms,
        measured_ms=p50_ms,
        measured_p10_ms=p10_ms,
        measured_p90_ms=p90_ms,
        networks=tuple(
            NetworkLatency(
                label=",".join(map(str, network.choices)),
                predicted_ms=float(plain(network.choices)[0]),
                measured_ms=network.p50_ms,
            )
            for network in table.networks
        ),
    )
