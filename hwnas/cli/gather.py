"""The files of a work folder -> what a report shows.

A work folder is what ``hwnas demo`` makes, or one laid out like it: ``table.yaml``, ``supernet/``, ``search/``,
``model/``, ``finetuned/``, ``artifact/``, ``bench.json``, ``steps.json``. What isn't there isn't shown. A search folder
alone will do as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hwnas.artifacts.bundle import Artifact, load_artifact
from hwnas.cli.gather_search import (
    closing_content,
    device_contents,
    measured_after_search,
    refitted_table,
    search_content,
    searched_arch,
)
from hwnas.cli.tables import TableOption
from hwnas.errors import ModelError
from hwnas.files import read_json, read_yaml
from hwnas.prediction.latency import LatencyPredictor
from hwnas.reporting.content import (
    ArtifactContent,
    BenchContent,
    FileContent,
    LatencyContent,
    NetworkLatency,
    ParityContent,
    ReportContent,
    StepContent,
    TrainingContent,
    WinnerContent,
)
from hwnas.space.arch import Arch
from hwnas.space.chain import ChainSpace
from hwnas.tables.table import LatencyTable
from hwnas.training.log import read_log
from hwnas.version import __version__


def gather(folder: Path, other_devices: Sequence[TableOption] = ()) -> ReportContent:
    """Everything that ``folder`` holds, and the table and supernet that its search names.

    Args:
        folder: a work folder or a search folder.
        other_devices: tables of other devices, and maybe budgets there, to compare the front's latency on.

    Raises:
        ModelError: there is nothing to report on, or a file is malformed or was altered.
        MissingOpError: the table of another device isn't of the search's space.
    """
    search_path = _first_there(folder / "search.json", folder / "search" / "search.json")
    found = read_json(search_path, ModelError) if search_path else None
    artifact = load_artifact(folder / "artifact") if (folder / "artifact").is_dir() else None
    table_path = _first_there(*_tables(folder, search_path, found))
    table = LatencyTable.load(table_path) if table_path else None
    if found is None and artifact is None and table is None:
        raise ModelError(f"{folder} holds no search, artifact or table to report on")
    if found is None and other_devices:
        raise ModelError(f"{folder} holds no search whose front could be compared on another device; leave --table out")
    arch = _winner_arch(found, artifact)
    benched = read_json(folder / "bench.json", ModelError) if (folder / "bench.json").exists() else {}
    runs = {
        "supernet": _first_there(folder / "supernet", *([Path(found["supernet"])] if found else [])),
        "finetuning": _first_there(folder / "finetuning"),
    }
    bench, drift = benched.get("results", []), benched.get("drift")
    return ReportContent(
        title=f"{arch.space.name} on {table.device.hardware}" if arch and table else folder.name,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
        search=search_content(found) if found else None,
        devices=device_contents(found, other_devices) if found else (),
        closing=closing_content(found) if found else None,
        winner=_winner(arch, artifact, found, table) if arch else None,
        latency=_latency(table, arch, artifact, found, bench, drift or 1.0) if arch and table else None,
        training=tuple(_training(run, name) for name, run in runs.items() if run),
        artifact=_artifact(artifact, benched) if artifact else None,
        how=_steps(folder),
    )


def _first_there(*paths: Path) -> Path | None:
    return next((path for path in paths if path.exists()), None)


def _tables(folder: Path, search_path: Path | None, found: dict[str, Any] | None) -> Iterator[Path]:
    """Where the table of the first device may be, the best first: refitted after the search, or as it was."""
    if found is None or search_path is None:
        yield folder / "table.yaml"
        return
    if refitted := refitted_table(found):
        yield search_path.parent / refitted
    if search_path.parent != folder:  # in a search folder every table is a refitted one, maybe of another device
        yield folder / "table.yaml"
    yield Path(found["tables"][0]["path"])


def _winner_arch(found: dict[str, Any] | None, artifact: Artifact | None) -> Arch | None:
    if artifact:
        return artifact.arch
    if found and found["winner"] is not None:
        return searched_arch(found, found["winner"])
    return None


def _kept(arch: Arch, artifact: Artifact | None) -> ChainSpace:
    keeps = artifact is None or artifact.manifest.keeps_stabilizers
    return arch.space.inheriting() if keeps else arch.space


def _winner(
    arch: Arch, artifact: Artifact | None, found: dict[str, Any] | None, table: LatencyTable | None
) -> WinnerContent:
    from hwnas.graph.count import count

    space = _kept(arch, artifact)
    counted = count(space.graph(arch.choices))
    accuracies: dict[str, float] = {}
    if found and found["winner"] is not None and list(arch.choices) == found["archs"][found["winner"]]:
        names = [objective["name"] for objective in found["objectives"]]
        accuracies["inherited, validation"] = found["values"][found["winner"]][names.index("accuracy")]
    if artifact:
        accuracies |= artifact.manifest.accuracy
    predictor = LatencyPredictor(table, space) if table else None
    return WinnerContent(
        arch=arch,
        walk=tuple((node.place, node.op) for node in space.graph(arch.choices)),
        predicted_ms=predictor.per_layer_ms(arch.choices) if predictor else {},
        stabilizers={each.layer: str(each) for each in artifact.manifest.stabilizers} if artifact else {},
        madds=counted.madds,
        params=counted.params,
        accuracies=accuracies,
    )


def _latency(
    table: LatencyTable,
    arch: Arch,
    artifact: Artifact | None,
    found: dict[str, Any] | None,
    bench: list[dict[str, Any]],
    drift: float,
) -> LatencyContent:
    predictor = LatencyPredictor(table, _kept(arch, artifact))
    interval = predictor.interval(arch.choices)
    comparable = [
        row
        for row in bench
        if (row["runtime"], row["precision"], row["threads"], row["batch"])
        == (table.device.runtime, table.device.precision, table.device.threads, table.device.batch)
    ]
    measured = comparable[0] if comparable else measured_after_search(found, arch) if found else None
    plain = LatencyPredictor(table, arch.space)
    calibration = table.calibration
    fields = {
        **{name.replace("_", " "): str(value) for name, value in table.device.model_dump().items()},
        "origin": str(table.protocol or table.provenance),
    }
    if calibration:
        fields["calibration"] = f"a network takes {calibration}"
    if comparable:
        by_table_ms = float(predictor(arch.choices)[0])
        fields["by the table alone"] = f"{by_table_ms:.3f} ms"
        fields["drift since"] = f"{drift:.3f} ×, by the table's own networks, timed beside the winner"
    return LatencyContent(
        device=str(table.device),
        fields=fields,
        predicted_ms=drift * float(predictor(arch.choices)[0]),
        low_ms=drift * float(interval[0][0]) if interval else None,
        high_ms=drift * float(interval[1][0]) if interval else None,
        measured_ms=measured["p50_ms"] if measured else None,
        measured_p10_ms=measured["p10_ms"] if measured else None,
        measured_p90_ms=measured["p90_ms"] if measured else None,
        networks=tuple(
            NetworkLatency(
                label=",".join(map(str, network.choices)),
                predicted_ms=float(plain(network.choices)[0]),
                measured_ms=network.p50_ms,
            )
            for network in table.networks
        ),
    )


def _training(run: Path, name: str) -> TrainingContent:
    rows = []
    for line in read_log(run):
        numbers = {key: value for key, value in line.plain().items() if isinstance(value, int | float)}
        accuracy = sum(line.accuracy.values()) / len(line.accuracy)
        rows.append({**numbers, "validation accuracy": accuracy, **_metrics(line.validation)})
    return TrainingContent(name=name, rows=tuple(rows), config=read_yaml(run / "config.yaml", ModelError))


def _metrics(found: dict[str, float] | None) -> dict[str, float]:
    """The rest of what a network's epoch was measured by."""
    if found is None:
        return {}
    return {
        f"top-{found['k']:g} accuracy": found["top_k"],
        "balanced accuracy": found["balanced"],
        "validation loss": found["loss"],
    }


def _artifact(artifact: Artifact, benched: dict[str, Any]) -> ArtifactContent:
    manifest = artifact.manifest
    files = {file.target: file for file in manifest.files}
    names = ("target", "runtime", "threads", "batch")
    fastest = [[row[name] for name in names] for row in benched.get("fastest", [])]
    return ArtifactContent(
        files=tuple(
            FileContent(
                path=f.file,
                bytes=f.bytes,
                sha256=manifest.sha256[f.file],
                precision=f.settings.precision,
                precisions=f.precisions,
                memory_mb=f.memory_mb,
                lacks=f.lacks,
                exported_ms=f.latency.p50_ms if f.latency else None,
                fp32_ms=f.fp32_ms,
            )
            for f in manifest.files
        ),
        parity=tuple(
            ParityContent(
                path=f.file,
                max_relative_error=f.parity.max_relative,
                tolerance=f.settings.tolerance.relative,
                top1_agreement=f.parity.top1_agreement,
                images=f.parity.images,
                accuracy_before=f.accuracy_before,
                accuracy_after=f.accuracy_after,
            )
            for f in manifest.files
        ),
        bench=tuple(
            BenchContent(
                path=files[row["target"]].file,
                runtime=row["runtime"],
                threads=row["threads"],
                batch=row["batch"],
                p50_ms=row["p50_ms"],
                p10_ms=row["p10_ms"],
                p90_ms=row["p90_ms"],
                memory_mb=row.get("memory_mb"),
                fastest=[row[name] for name in names] in fastest,
            )
            for row in benched.get("results", [])
            if row["target"] in files
        ),
    )


def _steps(folder: Path) -> tuple[StepContent, ...]:
    path = folder / "steps.json"
    steps = read_json(path, ModelError) if path.exists() else []
    return tuple(StepContent(**step) for step in steps)
