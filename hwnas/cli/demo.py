"""``hwnas demo``: the whole flow on scikit-learn's digits, each step the same code as its verb."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from hwnas.cli.console import JsonOption, SeedOption, print_result
from hwnas.files import refuse_existing, to_json, write_atomic
from hwnas.progress import Progress, ProgressBars, say
from hwnas.records.steps import Step, StepsRecord

_BUDGET_SHARE = 0.4


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much work each step does; ``fast`` is for CI, the other for a person with five minutes."""

    resolution: int
    measuring_s: float
    profile_networks: int
    supernet: dict[str, Any]
    evaluations: int
    finetuning: dict[str, Any]


_FULL = Size(
    resolution=32,
    measuring_s=15.0,
    profile_networks=20,
    supernet={"epochs": 5, "augment": "none", "held_out": 0.2},
    evaluations=150,
    finetuning={"epochs": 10, "learning_rate": 0.1, "augment": "none"},
)
_FAST = Size(
    resolution=16,  # of the 8-pixel digits there is little more to see at 32
    measuring_s=4.0,
    profile_networks=8,
    supernet={"epochs": 3, "augment": "none", "held_out": 0.2},
    evaluations=40,
    finetuning={"epochs": 10, "learning_rate": 0.1, "augment": "none"},
)


class _Steps:
    """Writes down each step as it ends: its command, its seconds, what came out."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "steps.json"
        self._steps: list[Step] = []

    @contextmanager
    def step(self, name: str, command: str) -> Iterator[dict[str, str]]:
        say(f"{len(self._steps) + 1}. {name}")
        facts: dict[str, str] = {}
        begin = time.monotonic()
        yield facts
        seconds = round(time.monotonic() - begin, 1)
        self._steps.append(Step(name=name, command=command, seconds=seconds, facts=facts))
        StepsRecord(steps=tuple(self._steps)).write(self._path)
        say(f"   {seconds:.0f} s  {', '.join(f'{key} {value}' for key, value in facts.items())}")


def demo(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder to make; hwnas-demo-N if absent.")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Within a minute, with less of everything.")] = False,
    budget_ms: Annotated[float | None, typer.Option(help="Latency budget; chosen from the table when absent.")] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure this machine, train a stabilized supernet, search it under a latency budget, ship the winner."""
    from hwnas.optimize.problem import Budget

    folder = output or _free_name()
    refuse_existing(folder)
    if budget_ms is not None:
        Budget("latency_ms", budget_ms)  # a wrong number is told now, not after the training
    with ProgressBars() as progress:
        result = run_demo(folder, _FAST if fast else _FULL, budget_ms, seed, progress)
    when_searched_ms, low_ms, high_ms = (result[k] for k in ("predicted_when_searched_ms", "low_ms", "high_ms"))
    print_result(
        result,
        as_json,
        f"winner     {result['arch']}",
        f"accuracy   {result['accuracy']:.2%} of the digits it has never seen",
        f"budget     {result['budget_ms']:.3f} ms; by the table the winner takes {when_searched_ms:.3f} ms",
        f"latency    measured {result['measured_ms']:.3f} ms; predicted {result['predicted_ms']:.3f} ms "
        f"({low_ms:.3f} to {high_ms:.3f}), the machine's drift of {result['drift']:.3f} × since the table included",
        f"artifact   {result['artifact']}",
        f"report     {result['report']}",
    )


def _free_name() -> Path:
    number = 1
    while (path := Path(f"hwnas-demo-{number}")).exists():
        number += 1
    return path


def run_demo(folder: Path, size: Size, budget_ms: float | None, seed: int, progress: Progress) -> dict[str, Any]:
    """The whole flow into ``folder``; returns what the verb prints as JSON."""
    from hwnas.artifacts.bench import bench
    from hwnas.artifacts.export import export
    from hwnas.cli.bench import result_of
    from hwnas.cli.deriving import derive_from_supernet
    from hwnas.cli.models import predicted_interval_ms
    from hwnas.data.load import load_data
    from hwnas.flow.profile import profile
    from hwnas.flow.report import report
    from hwnas.flow.search import search
    from hwnas.flow.train import train
    from hwnas.nn.model_folder import load_model
    from hwnas.prediction.latency import LatencyPredictor
    from hwnas.profiling.timer import Effort
    from hwnas.space.arch import parse_arch
    from hwnas.space.registry import get_space
    from hwnas.training.config import TrainConfig
    from hwnas.training.learners.network import NetworkConfig
    from hwnas.training.learners.supernet import SupernetConfig

    folder.mkdir(parents=True)
    table_path, supernet, searched = folder / "table.yaml", folder / "supernet", folder / "search"
    model, finetuning, shipped = folder / "model", folder / "finetuning", folder / "artifact"
    steps = _Steps(folder)
    space = get_space("scarlet-tiny", size.resolution, classes=10)

    command = f"hwnas profile --space scarlet-tiny --resolution {size.resolution} --classes 10 -o {table_path}"
    with steps.step("profile every op on this machine", command) as facts:
        table = profile(
            space, networks=size.profile_networks, confidence=0.01, seconds=size.measuring_s, seed=seed,
            output=table_path, progress=progress,
        )  # fmt: skip
        facts |= {"ops": str(len(table.ops)), "device": str(table.device)}

    config = folder / "supernet.yaml"
    settings = TrainConfig(
        data="digits",
        learner=SupernetConfig(space="scarlet-tiny", resolution=size.resolution),
        seed=seed,
        threads=1,
        **size.supernet,
    )
    write_atomic(config, settings.to_yaml())
    with steps.step("train the supernet", f"hwnas train {config} -o {supernet}") as facts:
        trained = train(settings, supernet, progress=progress)
        facts |= {"inherited accuracy of random archs": _range(trained.accuracy)}

    if budget_ms is None:
        predicted = LatencyPredictor(table, space.inheriting())(space.sample(2000, seed))
        budget_ms = round(float(sorted(predicted)[int(len(predicted) * _BUDGET_SHARE)]), 3)
    command = (
        f"hwnas search --supernet {supernet} --table {table_path}:{budget_ms} --evaluations {size.evaluations} "
        f"-o {searched}"
    )
    with steps.step(f"search under a budget of {budget_ms} ms", command) as facts:
        found = search(
            trained, tables=[(table_path, budget_ms)], evaluations=size.evaluations, seed=seed, output=searched,
            progress=progress,
        )  # fmt: skip
        facts |= {"evaluated": str(len(found.archs)), "on the front": str(len(found.front))}

    winner = searched / "winner.json"
    with steps.step("derive the winner", f"hwnas derive {winner} --supernet {supernet} -o {model}") as facts:
        derived = derive_from_supernet(parse_arch(str(winner)), supernet, model, searched)
        facts |= {name: f"{value:.2%}" for name, value in derived.info.accuracy.items()}

    config = folder / "finetuning.yaml"
    settings = TrainConfig(
        data="digits", learner=NetworkConfig(network=str(model)), seed=seed, threads=1, **size.finetuning
    )
    write_atomic(config, settings.to_yaml())
    with steps.step("fine-tune it", f"hwnas train {config} -o {finetuning}") as facts:
        tuned = train(settings, finetuning, progress=progress)
        facts |= {name: f"{value:.2%}" for name, value in tuned.accuracy.items()}

    network, info = load_model(tuned.result)
    with steps.step("export and check", f"hwnas export {tuned.result} --target onnx-fp32 -o {shipped}") as facts:
        images = load_data("digits", space.resolution).test_images(64)
        artifact = export(network, ["onnx-fp32"], shipped, info=info, images=images, progress=progress)
        parity = artifact.manifest.files[0].parity
        facts |= {"difference to PyTorch": f"{parity.max_relative:.1e}", "same class": f"{parity.top1_agreement:.1%}"}

    with steps.step("time it beside the table's networks", f"hwnas bench {shipped} --table {table_path}") as facts:
        interval = predicted_interval_ms(artifact, table)
        effort = Effort(at_least_s=size.measuring_s, at_most_s=size.measuring_s)
        benched = bench([artifact], beside=table, seed=seed, effort=effort, progress=progress)
        timed = result_of(benched, {str(shipped): interval[0]}, table.device)
        write_atomic(folder / "bench.json", to_json(timed))
        measured_ms, drift = timed["results"][0]["p50_ms"], benched.drift or 1.0
        predicted_ms, low_ms, high_ms = (value * drift for value in interval if value is not None)
        facts |= {
            "predicted when searched": f"{interval[0]:.3f} ms",
            "drift of the machine since": f"{drift:.3f} ×",
            "predicted": f"{predicted_ms:.3f} ms",
            "measured": f"{measured_ms:.3f} ms",
        }

    page = folder / "report.html"
    with steps.step("report", f"hwnas report {folder} -o {page}"):
        report(folder, output=page)
    names = [objective.name for objective in found.objectives]
    return {
        "arch": str(artifact.arch),
        "front": [
            {"choices": found.archs[i].tolist(), **dict(zip(names, found.values[i].tolist(), strict=True))}
            for i in found.front
        ],
        "artifact": str(shipped),
        "report": str(page),
        "accuracy": tuned.accuracy["test"],
        "budget_ms": budget_ms,
        "predicted_when_searched_ms": interval[0],
        "drift": drift,
        "predicted_ms": predicted_ms,
        "low_ms": low_ms,
        "high_ms": high_ms,
        "measured_ms": measured_ms,
    }


def _range(accuracy: dict[str, float]) -> str:
    return f"{min(accuracy.values()):.1%} to {max(accuracy.values()):.1%}"
