"""What a search finds per evaluation, on ground truth, beside pymoo's and Optuna's optimisers in the same run.

    hwnas profile --space macro --runtime onnxruntime -o macro.yaml      # or the one in latency_tables/
    python benchmarks/search_quality.py NAS_BENCH_MACRO.json.gz macro.yaml [--picture curves.png]

The first file is the published table of all 6,561 archs: {"02012100": {"test_acc": [a, b, c], …}, …}. Accuracy costs an
evaluation; multiply-adds, parameters and latency, by the table, are free. Three parts: the share of the exact front's
hypervolume after so many evaluations; how far the best accuracy within a budget is from the true best; the curves.
Optuna's slow samplers take part in the first task only, the Gaussian process up to 100 evaluations (it alone takes
about as long as all others).
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import optuna
import plotly.graph_objects as go
import plotly.io as pio
from common import machine
from rival_optimizers import optuna_sampler, pymoo_nsga2

from hwnas.arrays import Archs
from hwnas.optimize import Budget, Objective, hypervolume, run_search
from hwnas.prediction.costs import madds, params
from hwnas.prediction.latency import LatencyPredictor
from hwnas.reporting.charts import TEMPLATE
from hwnas.reporting.picture import photograph
from hwnas.space.registry import get_space
from hwnas.tables.table import LatencyTable

CHECKPOINTS = (50, 100, 150, 200, 300)
BUDGET_SHARES = (0.1, 0.3, 0.6)
BUDGET_EVALUATIONS = 100
SPACE = get_space("macro")
COLOURS = ("#e5484d", "#3b82f6", "#0d9488", "#94a3b8", "#d97706", "#8b5cf6", "#64748b", "#ec4899")

Values = npt.NDArray[np.float64]
Run = Callable[[int], Values]


@dataclass(frozen=True)
class Task:
    """Objectives whose exact front is known: accuracy first, then what is free."""

    name: str
    objectives: tuple[Objective, ...]
    reference: Values
    everything: Archs

    @property
    def maximize(self) -> tuple[bool, ...]:
        return tuple(objective.maximize for objective in self.objectives)

    def evaluate(self, archs: Archs) -> Values:
        return np.column_stack([objective.values(archs) for objective in self.objectives])

    def shares(self, values: Values, counts: npt.ArrayLike) -> Values:
        """Of the exact hypervolume, after each count of evaluations; NaN where there were fewer."""
        exact = hypervolume(self.evaluate(self.everything), self.reference, self.maximize)
        return np.array(
            [
                hypervolume(values[:count], self.reference, self.maximize) / exact if count <= len(values) else np.nan
                for count in np.asarray(counts).tolist()
            ]
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("accuracies", type=Path)
    parser.add_argument("table", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--picture", type=Path, help="PNG with the curves of the first task.")
    options = parser.parse_args()
    tasks = _tasks(options.accuracies, LatencyTable.load(options.table))
    print(f"{machine()}; {options.seeds} seeds\n")
    for task in tasks:
        rivals = _rivals(task) | (_slow_rivals(task) if task is tasks[0] else {})
        found = {name: [run(seed) for seed in range(options.seeds)] for name, run in rivals.items()}
        _print_shares(task, found)
        if options.picture and task is tasks[0]:
            _draw(task, found, options.picture)
    _print_budgets(tasks[0], options.seeds)


def _tasks(path: Path, table: LatencyTable) -> tuple[Task, ...]:
    published = json.loads(gzip.decompress(path.read_bytes()))
    everything = np.array([[int(digit) for digit in digits] for digits in published])
    accuracies = np.empty(tuple(SPACE.num_choices))
    accuracies[tuple(everything.T)] = [np.mean(entry["test_acc"]) for entry in published.values()]
    accuracy = Objective("accuracy", lambda archs: accuracies[tuple(archs.T)], maximize=True)
    latency = Objective("latency_ms", LatencyPredictor(table, SPACE), free=True)
    adds, weights = Objective("madds", madds(SPACE), free=True), Objective("params", params(SPACE), free=True)

    def task(name: str, *costs: Objective) -> Task:
        limits = [106e6 if cost is adds else 1.01 * cost.values(everything).max() for cost in costs]
        return Task(name, (accuracy, *costs), np.array([45.0, *limits]), everything)

    return (
        task("accuracy, multiply-adds", adds),
        task("accuracy, measured latency", latency),
        task("accuracy, measured latency, parameters", latency, weights),
    )


def _rivals(task: Task) -> dict[str, Run]:
    most = max(CHECKPOINTS)

    def ours(strategy: str) -> Run:
        return lambda seed: run_search(SPACE, task.objectives, strategy=strategy, evaluations=most, seed=seed).values

    return {
        **{f"hwnas {name}": ours(name) for name in ("guided", "nsga2", "nsga3", "random")},
        "pymoo NSGA-II": partial(pymoo_nsga2, SPACE, task.evaluate, task.maximize, most),
        "Optuna NSGA-II": _optuna(
            task, lambda seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=25), most
        ),
    }


def _slow_rivals(task: Task) -> dict[str, Run]:
    return {
        "Optuna TPE": _optuna(task, lambda seed: optuna.samplers.TPESampler(seed=seed), 200),
        "Optuna GP": _optuna(task, lambda seed: optuna.samplers.GPSampler(seed=seed), 100),
    }


def _optuna(task: Task, make: Callable[[int], optuna.samplers.BaseSampler], most: int) -> Run:
    return partial(optuna_sampler, make, SPACE, task.evaluate, task.maximize, most)


def _print_shares(task: Task, found: dict[str, list[Values]]) -> None:
    print(f"\n{task.name}; reference {', '.join(f'{value:.4g}' for value in task.reference)}\n")
    print(f"| evaluations | {' | '.join(map(str, CHECKPOINTS))} |\n|---|{'---|' * len(CHECKPOINTS)}")
    for name, seeds in found.items():
        shares = np.array([task.shares(values, CHECKPOINTS) for values in seeds])
        cells = zip(np.median(shares, 0), shares.min(0), shares.max(0), strict=True)
        shown = [f"{m:.4f} ({low:.3f}, {high:.4f})" if m == m else "–" for m, low, high in cells]
        print(f"| {name} | {' | '.join(shown)} |")
    print(flush=True)


def _print_budgets(task: Task, seeds: int) -> None:
    """Percentage points that the best accuracy within a budget misses, after few evaluations."""
    accuracy, cost = task.evaluate(task.everything).T
    budgets = np.quantile(cost, BUDGET_SHARES)
    print(f"\nbest accuracy within a budget, after {BUDGET_EVALUATIONS} evaluations: points missed, median (worst)\n")
    print(
        f"| multiply-adds at most | {' | '.join(f'{at / 1e6:.1f} M' for at in budgets)} |\n|---|{'---|' * len(budgets)}"
    )
    for strategy in ("guided", "nsga2", "regularized", "hill", "random"):
        cells = []
        for at_most in budgets.tolist():
            best = accuracy[cost <= at_most].max()
            budget = Budget(task.objectives[1].name, at_most)
            objectives = (task.objectives[0], Objective("madds", task.objectives[1].fn, free=True, weight=0.0))
            missed = [
                best - run_search(SPACE, objectives, [budget], strategy, BUDGET_EVALUATIONS, seed).values[:, 0].max()
                for seed in range(seeds)
            ]
            cells.append(f"{np.median(missed):.3f} ({max(missed):.3f})")
        print(f"| hwnas {strategy} | {' | '.join(cells)} |", flush=True)


def _draw(task: Task, found: dict[str, list[Values]], path: Path) -> None:
    """What is missing of the exact hypervolume after each evaluation: medians, and the band of half of the seeds."""
    figure = go.Figure(layout={"template": TEMPLATE})
    counts = np.unique(np.geomspace(10, max(CHECKPOINTS), 60).astype(int))
    for colour, (name, seeds) in zip(COLOURS, found.items(), strict=False):
        reached = counts[counts <= min(map(len, seeds))]
        missing = 1 - np.array([task.shares(values, reached) for values in seeds])
        low, middle, high = np.quantile(np.maximum(missing, 1e-5), [0.25, 0.5, 0.75], axis=0)
        band = {"x": [*reached, *reached[::-1]], "y": [*low, *high[::-1]], "fill": "toself", "line": {"width": 0}}
        figure.add_scatter(**band, fillcolor=colour, opacity=0.12, showlegend=False, mode="lines", hoverinfo="skip")
        figure.add_scatter(x=reached, y=middle, name=name, mode="lines", line={"color": colour, "width": 2.5})
    figure.update_xaxes(title_text="evaluations", type="log", tickvals=[10, 20, *CHECKPOINTS])
    figure.update_yaxes(title_text="share of the exact hypervolume still missing", type="log", dtick=1)
    figure.update_layout(
        width=1000, height=520, paper_bgcolor="#ffffff", margin={"l": 70, "r": 20, "t": 70, "b": 55},
    )  # fmt: skip
    drawn = pio.to_html(figure, config={"displayModeBar": False}, full_html=False)
    photograph(f'<body style="margin: 0">{drawn}</body>', 1000, 520, path)


if __name__ == "__main__":
    main()
