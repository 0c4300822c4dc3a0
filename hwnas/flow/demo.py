"""`demo`: the whole flow on scikit-learn's digits, each step a verb."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

from hwnas.arguments import checked
from hwnas.errors import whole
from hwnas.evaluation.interval import plus_minus
from hwnas.files import refuse_existing, write_atomic
from hwnas.flow.bench import bench
from hwnas.flow.derive import derive
from hwnas.flow.export import export
from hwnas.flow.predict import predicted_interval_ms
from hwnas.flow.profile import profile
from hwnas.flow.report import report
from hwnas.flow.search import search
from hwnas.flow.train import train
from hwnas.optimize.problem import Budget
from hwnas.prediction.latency import LatencyPredictor
from hwnas.profiling.timer import Effort
from hwnas.progress import Progress, say
from hwnas.records.demo import DemoRecord, Step, StepsRecord
from hwnas.space.registry import get_space
from hwnas.training.config import TrainConfig
from hwnas.training.learners.network import NetworkConfig
from hwnas.training.learners.supernet import SupernetConfig

_BUDGET_SHARE = 0.4
_CONFIDENCE = 0.01


class _Size(NamedTuple):
    """How much work each step does."""

    resolution: int
    measuring_s: float
    profile_networks: int
    epochs: int
    evaluations: int


_FULL = _Size(resolution=32, measuring_s=15.0, profile_networks=20, epochs=5, evaluations=150)
_FAST = _Size(resolution=16, measuring_s=3.0, profile_networks=8, epochs=3, evaluations=24)
"""Of the 8-pixel digits there is little more to see at 32 pixels than at 16."""


@checked
def demo(
    output: Path | str | None = None,
    *,
    fast: bool = False,
    budget_ms: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> DemoRecord:
    """Measure this machine, train a stabilized supernet, search it under a latency budget, ship the winner.

    Args:
        output: the folder to make; ``hwnas-demo-N`` when None. ``steps.json`` in it has the command of each step.
        fast: within a minute rather than five, with less of everything.
        budget_ms: of latency; what two fifths of the space meet by the table when None.
        seed: of all random draws.
        progress: called with (what, done, total, note).

    Raises:
        OutputError: the output exists already or can't be written.
        BudgetError: the budget makes no sense, or no arch meets it.
        ModelError: the machine can't be measured.
    """
    seed = whole("seed", seed)
    folder = Path(output) if output is not None else _free_name()
    refuse_existing(folder)
    if budget_ms is not None:
        Budget("latency_ms", budget_ms)  # a wrong number is told now, not after the training
    size = _FAST if fast else _FULL
    folder.mkdir(parents=True)
    table_path, supernet, searched = folder / "table.yaml", folder / "supernet", folder / "search"
    model, finetuning, shipped = folder / "model", folder / "finetuning", folder / "artifact"
    steps = _Steps(folder)
    space = get_space("scarlet-tiny", size.resolution, classes=10)

    seeded = ("--seed", seed) if seed else ()
    words: tuple[object, ...] = (
        "profile", "--space", "scarlet-tiny", "--resolution", size.resolution, "--classes", 10,
        "--networks", size.profile_networks, "--confidence", _CONFIDENCE, "--seconds", size.measuring_s, *seeded,
    )  # fmt: skip
    with steps.step("profile every op on this machine", *words, "-o", table_path) as facts:
        table = profile(
            space, networks=size.profile_networks, confidence=_CONFIDENCE, seconds=size.measuring_s, seed=seed,
            output=table_path, progress=progress,
        )  # fmt: skip
        facts |= {"ops": str(len(table.ops)), "device": str(table.device)}

    config = folder / "supernet.yaml"
    learner = SupernetConfig(space="scarlet-tiny", resolution=size.resolution)
    settings = TrainConfig(
        data="digits", learner=learner, seed=seed, threads=1, epochs=size.epochs, augment="none", held_out=0.2
    )
    write_atomic(config, settings.to_yaml())
    with steps.step("train the supernet", "train", config, "-o", supernet) as facts:
        trained = train(settings, supernet, progress=progress)
        accuracies = trained.accuracy.values()
        facts |= {"inherited accuracy of random archs": f"{min(accuracies):.1%} to {max(accuracies):.1%}"}

    if budget_ms is None:
        predicted = LatencyPredictor(table, space.inheriting())(space.sample(2000, seed))
        budget_ms = round(float(sorted(predicted)[int(len(predicted) * _BUDGET_SHARE)]), 3)
    words = ("search", "--supernet", supernet, "--table", f"{table_path}:{budget_ms}")
    words = (*words, "--evaluations", size.evaluations, *seeded, "-o", searched)
    with steps.step(f"search under a budget of {budget_ms} ms", *words) as facts:
        found = search(
            trained, tables=[(table_path, budget_ms)], evaluations=size.evaluations, seed=seed, output=searched,
            progress=progress,
        )  # fmt: skip
        facts |= {"evaluated": str(len(found.archs)), "on the front": str(len(found.front))}

    winner = searched / "winner.json"
    with steps.step("derive the winner", "derive", winner, "--supernet", supernet, "-o", model) as facts:
        derived = derive(winner, supernet, output=model)
        facts |= _told(derived.info.accuracy, derived.info.accuracy_images)

    config = folder / "finetuning.yaml"
    settings = TrainConfig(
        data="digits", learner=NetworkConfig(network=str(model)), seed=seed, threads=1, epochs=10, learning_rate=0.1,
        augment="none",
    )  # fmt: skip
    write_atomic(config, settings.to_yaml())
    with steps.step("fine-tune it", "train", config, "-o", finetuning) as facts:
        tuned = train(settings, finetuning, progress=progress)
        facts |= _told(tuned.accuracy, tuned.accuracy_images)

    with steps.step("export and check", "export", tuned.result, "--target", "onnx-fp32", "-o", shipped) as facts:
        artifact = export(tuned, "onnx-fp32", shipped, progress=progress)
        parity = artifact.manifest.files[0].parity
        facts |= {"difference to PyTorch": f"{parity.max_relative:.1e}", "same class": parity.same_class}

    words = ("bench", shipped, "--table", table_path, *seeded)
    with steps.step("time it beside the table's networks", *words) as facts:
        kept, choices = artifact.of_arch.space_of_network(), artifact.arch.choices
        by_table = predicted_interval_ms(table, kept, choices)
        effort = Effort(at_least_s=size.measuring_s, at_most_s=size.measuring_s)
        benched = bench(artifact, table=table, seed=seed, effort=effort, progress=progress)
        benched.write(folder / "bench.json")
        predicted_ms, low_ms, high_ms = benched.drifted(by_table)
        measured_ms, drift = benched.results[0].p50_ms, benched.drift or 1.0
        facts |= {
            "predicted when searched": f"{by_table[0]:.3f} ms",
            "drift of the machine since": f"{drift:.3f} ×",
            "predicted": f"{predicted_ms:.3f} ms",
            "measured": f"{measured_ms:.3f} ms",
        }

    page = folder / "report.html"
    with steps.step("report", "report", folder, "-o", page):
        report(folder, output=page)
    names = [objective.name for objective in found.objectives]
    return DemoRecord(
        space=artifact.arch.space.ref,
        choices=choices,
        front_choices=tuple(tuple(found.archs[index].tolist()) for index in found.front),
        front=tuple(dict(zip(names, found.values[index].tolist(), strict=True)) for index in found.front),
        artifact=shipped,
        report=page,
        accuracy=tuned.accuracy["test"],
        accuracy_images=tuned.accuracy_images.get("test"),
        budget_ms=budget_ms,
        predicted_when_searched_ms=by_table[0],
        drift=drift,
        predicted_ms=predicted_ms,
        low_ms=low_ms,
        high_ms=high_ms,
        measured_ms=measured_ms,
    )


class _Steps:
    """Writes down each step as it ends: its command, its seconds, what came out."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "steps.json"
        self._steps: list[Step] = []

    @contextmanager
    def step(self, name: str, *words: object) -> Iterator[dict[str, str]]:
        say(f"{len(self._steps) + 1}. {name}")
        facts: dict[str, str] = {}
        begin = time.monotonic()
        yield facts
        seconds = round(time.monotonic() - begin, 1)
        self._steps.append(
            Step(name=name, command=shlex.join(["hwnas", *map(str, words)]), seconds=seconds, facts=facts)
        )
        StepsRecord(steps=tuple(self._steps)).write(self._path)
        say(f"   {seconds:.0f} s  {', '.join(f'{key} {value}' for key, value in facts.items())}")


def _free_name() -> Path:
    return next(path for number in count(1) if not (path := Path(f"hwnas-demo-{number}")).exists())


def _told(accuracy: Mapping[str, float], images: Mapping[str, int]) -> dict[str, str]:
    return {name: plus_minus(value, images.get(name)) for name, value in accuracy.items()}
