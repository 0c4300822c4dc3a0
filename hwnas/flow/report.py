"""``report``: one HTML page of what was searched, trained, shipped and measured. What isn't there isn't shown."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from os.path import isfile
from pathlib import Path

from hwnas.arguments import checked
from hwnas.artifacts.bundle import Artifact
from hwnas.artifacts.predict_script import PREDICT
from hwnas.errors import ModelError
from hwnas.files import read_yaml, refuse_existing, write_atomic
from hwnas.flow.open import BudgetedTable, Tables, open_budgeted
from hwnas.flow.pieces import Pieces, Shown, supernet_of
from hwnas.flow.predict import predicted_interval_ms
from hwnas.flow.search import hardly_apart
from hwnas.graph.count import count
from hwnas.optimize.problem import Budget
from hwnas.prediction.latency import LatencyPredictor
from hwnas.records.artifact import MANIFEST
from hwnas.records.search import SearchRecord
from hwnas.records.train import DataRecord
from hwnas.reporting.report import render
from hwnas.reporting.views import Device, Latency, NetworkLatency, NextStep, Report, Training, Winner
from hwnas.space.arch import Arch
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable
from hwnas.training.log import read_log
from hwnas.version import __version__


@checked
def report(
    *shown: Shown,
    artifact: Artifact | Path | str | None = None,
    tables: Tables = (),
    output: Path | str,
) -> Path:
    """Write the page, readable offline.

    Args:
        shown: a search, a training, an artifact, a bench: what the verbs returned, or the folders and files that they
            wrote, in any order; or a work folder as ``hwnas demo`` makes it, with all of these in it. Of a search also
            the table and the supernet that it names are shown.
        artifact: the same as among ``shown``.
        tables: of other devices, and maybe budgets there, to compare the front's latency on.
        output: the HTML file.

    Returns:
        The output.

    Raises:
        ModelError: there is nothing to report on, a file is malformed or was altered, or they don't belong together.
        ArchError, SpaceError: a record is of no arch, or of a space that can't be made any more.
        MissingOpError: the table of another device isn't of the search's space.
        OutputError: the output exists already or can't be written.
    """
    refuse_existing(Path(output))
    others = open_budgeted(tables)
    write_atomic(Path(output), render(gather([*shown, *([artifact] if artifact else [])], others)))
    return Path(output)


def gather(shown: Sequence[Shown], others: Sequence[BudgetedTable] = ()) -> Report:
    """What the page shows; see :func:`report`."""
    pieces = Pieces.of(shown)
    found = pieces.search.record if pieces.search else None
    if found is None and others:
        raise ModelError("there is no search whose front could be compared on another device; leave --table out")
    artifact = pieces.artifact.record if pieces.artifact else None
    benched = pieces.bench.record if pieces.bench else None
    table_path = _first_there(*_tables(pieces))
    table = LatencyTable.load(table_path) if table_path else None
    networks = list(pieces.networks())
    arch = (
        Arch(get_space(networks[0][1].space), networks[0][1].choices) if networks else found.winner if found else None
    )
    runs = list(pieces.runs)
    if found and (supernet := supernet_of(found)) and not any(supernet.samefile(run) for run in runs):
        runs.insert(0, supernet)
    names = Counter(run.resolve().name for run in runs)
    return Report(
        title=_title(arch, artifact, table, found, runs),
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        search=found,
        doubt=hardly_apart(found) if found else None,
        devices=_devices(found, others) if found else (),
        winner=_winner(arch, pieces, table) if arch else None,
        answers=pieces.answers,
        latency=_latency(table, arch, pieces) if arch and table else None,
        artifact=artifact.manifest if artifact else None,
        artifact_bytes=_bytes(artifact.path, [*artifact.manifest.sha256, MANIFEST]) if artifact else None,
        bench=benched,
        training=tuple(
            Training(
                name=run.resolve().name if names[run.resolve().name] == 1 else str(run),
                log=tuple(read_log(run)),
                config=_config(run),
                classes=_classes(run),
            )
            for run in runs
        ),
        how=pieces.steps.record.steps if pieces.steps else (),
        next=tuple(_next(pieces)),
    )


def _title(
    arch: Arch | None, artifact: Artifact | None, table: LatencyTable | None, found: SearchRecord | None,
    runs: Sequence[Path],
) -> str:  # fmt: skip
    if arch:
        return f"{arch.space.name} on {table.device.hardware}" if table else f"a network of {arch.space.name}"
    if artifact:
        return artifact.manifest.network.title
    if found:
        return f"a search of {found.space.name}"
    return f"the training {runs[0].resolve().name}" if runs else f"a table of {table.device.hardware}" if table else ""


def _bytes(folder: Path | None, names: Sequence[str]) -> int | None:
    sizes = [(folder / name).stat().st_size for name in names if (folder / name).is_file()] if folder else []
    return sum(sizes) or None


def _config(run: Path) -> dict[str, object]:
    """What a training was asked for.

    Raises:
        ModelError: the file can't be read, or says nothing of the kind.
    """
    config = read_yaml(run / "config.yaml", ModelError)
    if not isinstance(config, dict):
        raise ModelError(f"{run / 'config.yaml'} isn't the configuration of a training")
    return config


def _classes(run: Path) -> int | None:
    """That a training told apart; older ones don't say."""
    path = run / "data.json"
    return len(DataRecord.read(path).classes) if path.is_file() else None


def _next(pieces: Pieces) -> Iterator[NextStep]:
    """What is worth doing with what is there."""

    def step(why: str, *words: object) -> NextStep:
        return NextStep(why, shlex.join(map(str, words)))

    search, model, artifact = pieces.search, pieces.model, pieces.artifact
    if search and search.path and not (model or artifact) and search.record.winner_index is not None:
        winner = search.path.with_name("winner.json")
        supernet = ["--supernet", search.record.supernet.run] if search.record.supernet else []
        yield step("Make the winner a network of its own.", "hwnas", "derive", winner, *supernet, "-o", "winner")
    if model and not artifact:
        words = "hwnas", "export", model.path, "--target", "onnx-fp32", "-o", "artifact"
        yield step("Export the network; `hwnas target list` has what else it can be exported to.", *words)
    if artifact:
        path, manifest = artifact.path, artifact.record.manifest
        assert path is not None  # an artifact is a folder
        if PREDICT in manifest.sha256:
            yield step(
                "Try it on an image of your own; hwnas isn't needed for that.", "python", path / PREDICT, "IMAGE"
            )
        if not pieces.bench:
            yield step("Time it here, and give bench.json to the report.", "hwnas", "bench", path, "--json")
        yield step(
            "Check, wherever it was copied to, that it still does what PyTorch did.", "hwnas", "artifact", "check", path
        )
        yield step("Pack it to send it on.", "hwnas", "artifact", "zip", path, "-o", f"{path.name}.zip")


def _first_there(*paths: Path) -> Path | None:
    return next(filter(isfile, paths), None)


def _tables(pieces: Pieces) -> Iterator[Path]:
    """Where the table of the first device may be, the best first: refitted after the search, named, or as searched."""
    found = pieces.search.record if pieces.search else None
    column = found.latency_column(0) if found else None
    if found and found.measured and pieces.search and pieces.search.path and column is not None:
        name = found.objectives[column].name
        folder = pieces.search.path.parent
        yield from (folder / each.table for each in found.measured.objectives if each.objective == name)
    if pieces.table:
        yield pieces.table.record
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


def _kept(arch: Arch, pieces: Pieces) -> ChainSpace:
    networks = list(pieces.networks())
    return networks[0][1].space_of_network() if networks else arch.space.inheriting()


def _winner(arch: Arch, pieces: Pieces, table: LatencyTable | None) -> Winner:
    found = pieces.search.record if pieces.search else None
    space, networks = _kept(arch, pieces), [network for _, network, _ in pieces.networks()]
    graph = space.graph(arch.choices)
    counted = count(graph)
    index = found.index_of(arch) if found else None
    accuracies: dict[str, float] = {}
    images: dict[str, int] = {}
    if found and found.supernet and index is not None:
        accuracies["inherited, validation"] = float(found.values[index, 0])
        if found.accuracy_images:
            images["inherited, validation"] = found.accuracy_images
    if pieces.artifact:
        manifest = pieces.artifact.record.manifest
        accuracies, images = accuracies | manifest.accuracy, images | manifest.accuracy_images
    elif pieces.model:
        info = pieces.model.record.info
        accuracies, images = accuracies | info.accuracy, images | info.accuracy_images
    return Winner(
        arch=arch,
        walk=tuple((node.place, node.op) for node in graph),
        predicted_ms=LatencyPredictor(table, space).per_layer_ms(arch.choices) if table else {},
        stabilizers={each.layer: str(each) for network in networks[:1] for each in network.stabilizers},
        madds=counted.madds,
        params=counted.params,
        accuracies=accuracies,
        accuracy_images=images,
        weights_bytes=_bytes(pieces.model.path, ["weights.safetensors"]) if pieces.model else None,
        is_winner=None if found is None else index == found.winner_index,
    )


def _latency(table: LatencyTable, arch: Arch, pieces: Pieces) -> Latency:
    found = pieces.search.record if pieces.search else None
    benched = pieces.bench.record if pieces.bench else None
    plain = LatencyPredictor(table, arch.space)
    by_table = predicted_interval_ms(table, _kept(arch, pieces), arch.choices)
    here = table.device
    conditions = (here.runtime, here.precision, here.threads, here.batch)
    comparable = [
        row
        for row in (benched.results if benched else ())
        if (row.runtime, row.precision, row.threads, row.batch) == conditions
    ]
    predicted_ms, low_ms, high_ms = benched.drifted(by_table) if benched else by_table
    fields = {
        **{name.replace("_", " "): _plain(value) for name, value in here.model_dump().items()},
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


def _plain(value: object) -> str:
    return ", ".join(f"{name}: {each}" for name, each in value.items()) if isinstance(value, dict) else str(value)
