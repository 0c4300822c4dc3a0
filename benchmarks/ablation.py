"""{strict-fair, uniform} × {stabilizers, none}: does a stabilized, fairly trained supernet rank archs better?

    mkdir cifar10 && tar -xJf cifar10.tar.xz -C cifar10          # any folder with train/<class>/ and test/<class>/
    python benchmarks/ablation.py cifar10 nas_bench_macro_cifar10.json.gz -o runs/ablation

Trains every combination with every seed by ``hwnas train`` (two at a time, one thread each; started again after a kill,
it goes on), ranks the same archs with all of them by ``hwnas rank``, compares features by ``hwnas similarity``, and
prints a table. ``--picture`` draws losses and τ, and takes chromium. NAS-Bench-Macro's table has the true accuracies,
of archs four times as wide as ``macro-w8``, trained for 50 epochs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import plotly.io as pio
from plotly.subplots import make_subplots

from hwnas.reporting.charts import TEMPLATE
from hwnas.reporting.picture import find_browser, photograph
from hwnas.training.config import TrainConfig
from hwnas.training.learners.supernet import SupernetConfig
from hwnas.training.log import read_log
from hwnas.training.tasks.classification import ClassificationConfig

COLOURS = {
    ("strict-fair", True): "#0f766e", ("strict-fair", False): "#5eead4",
    ("uniform", True): "#b45309", ("uniform", False): "#fcd34d",
}  # fmt: skip
"""(Sampling rule, stabilizers): what is compared."""


def main() -> None:
    options = _options()
    if options.picture:
        find_browser()  # before the work
    runs = [_configured(options, *kind, seed) for seed in range(options.seeds) for kind in _kinds(options)]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda run: _hwnas("train", run.with_suffix(".yaml"), "-o", run, "--resume"), runs))
    found = json.loads(_hwnas("rank", *runs, "--truth", options.truth, "--archs", options.archs, "--json"))
    for line in _table(options, found):
        print(line)
    if options.picture:
        _draw(options, found)
    for seed in [] if options.ends else range(options.seeds):
        picture = options.output / f"similarity-{seed}.png"
        if not picture.exists():
            pair = [_run(options, "strict-fair", stabilizers, seed) for stabilizers in (True, False)]
            _hwnas("similarity", *pair, "--png", picture)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The ablation of stabilizers and strict fairness.")
    parser.add_argument("data", help="folder of images, or any other data of hwnas train")
    parser.add_argument("truth", help="true accuracies, as of hwnas rank --truth")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--picture", type=Path, help="a .png file to draw losses and τ on")
    parser.add_argument("--space", default="macro-w8")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=0.3)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--archs", type=int, default=200)
    parser.add_argument("--ends", action="store_true", help="only strict-fair with stabilizers and uniform without")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    return parser.parse_args()


def _kinds(options: argparse.Namespace) -> list[tuple[str, bool]]:
    kinds = list(COLOURS)
    return [kinds[0], kinds[-1]] if options.ends else kinds


def _run(options: argparse.Namespace, rule: str, stabilizers: bool, seed: int) -> Path:
    run: Path = options.output / f"{rule}-{'stabilizers' if stabilizers else 'none'}-{seed}"
    return run


def _configured(options: argparse.Namespace, rule: str, stabilizers: bool, seed: int) -> Path:
    """The run folder of a combination; its configuration lies beside it."""
    run = _run(options, rule, stabilizers, seed)
    config = TrainConfig(
        data=options.data, seed=seed,
        learner=SupernetConfig(space=options.space, sampling=rule, stabilizers=stabilizers),
        task=ClassificationConfig(label_smoothing=0.0),
        epochs=options.epochs, warmup_epochs=options.epochs / 10, batch=options.batch,
        learning_rate=options.learning_rate, augment="none",
        threads=1 if options.device == "cpu" else None, device=options.device,
    )  # fmt: skip
    run.parent.mkdir(parents=True, exist_ok=True)
    run.with_suffix(".yaml").write_text(config.to_yaml())
    return run


def _hwnas(*words: object) -> str:
    print("hwnas", *words, file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "hwnas", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _rows(options: argparse.Namespace, found: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]], list[Path]]]:
    """What it is, and of every seed what was found, and its run."""
    by_run = {row["run"]: row for row in found["runs"]}
    for rule, stabilizers in _kinds(options):
        runs = [_run(options, rule, stabilizers, seed) for seed in range(options.seeds)]
        yield f"{rule}, {'stabilizers' if stabilizers else 'none'}", [by_run[str(run)] for run in runs], runs


def _table(options: argparse.Namespace, found: dict[str, Any]) -> Iterator[str]:
    yield "| | τ, each seed | mean | ρ | τ, best fifth | τ by loss | τ by loss, additive | last epoch's loss |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name, rows, runs in _rows(options, found):
        cells = [
            " ".join(f"{row['kendall_tau']:.3f}" for row in rows),
            *(
                f"{np.mean(values):.3f}"
                for values in (
                    [row["kendall_tau"] for row in rows],
                    [row["spearman"] for row in rows],
                    [row["top"]["kendall_tau"] for row in rows],
                    [row["by_loss"]["kendall_tau"] for row in rows],
                    [row["by_loss_additive"]["kendall_tau"] for row in rows],
                    [read_log(run)[-1].loss for run in runs],
                )
            ),
        ]
        yield f"| {name} | {' | '.join(cells)} |"
    others = {**found["baselines"], "another training": {**found["ceiling"], "top": found["top_ceiling"]}}
    for name, row in others.items():
        yield f"| {name} | | {row['kendall_tau']:.3f} | {row['spearman']:.3f} | {row['top']['kendall_tau']:.3f} | | | |"


def _draw(options: argparse.Namespace, found: dict[str, Any]) -> None:
    """Losses by epoch on the left, τ of every run with its 95 % interval on the right."""
    figure = make_subplots(cols=2, column_widths=[0.42, 0.58], horizontal_spacing=0.14)
    labels, taus = [], []
    colours = [COLOURS[kind] for kind in _kinds(options)]
    for (name, rows, runs), colour in zip(_rows(options, found), colours, strict=True):
        for seed, (row, run) in enumerate(zip(rows, runs, strict=True)):
            log = read_log(run)
            figure.add_scatter(
                x=[line.epoch + 1 for line in log], y=[line.loss for line in log], name=name,
                legendgroup=name, showlegend=seed == 0, line={"color": colour, "width": 2}, mode="lines+markers",
                row=1, col=1,
            )  # fmt: skip
            labels.append((f"{name}, seed {seed}", row, colour))
    labels += [(name, row, "#94a3b8") for name, row in found["baselines"].items()]
    taus = [row["kendall_tau"] for _, row, _ in labels]
    ends = [row["kendall_tau_interval"] for _, row, _ in labels]
    figure.add_bar(
        y=[label for label, _, _ in labels], x=taus, orientation="h", showlegend=False,
        marker_color=[colour for _, _, colour in labels], text=[f"{tau:.3f}" for tau in taus], textposition="inside",
        insidetextanchor="start",
        error_x={
            "type": "data", "symmetric": False, "color": "#334155",
            "array": [high - tau for tau, (_, high) in zip(taus, ends, strict=True)],
            "arrayminus": [tau - low for tau, (low, _) in zip(taus, ends, strict=True)],
        },
        row=1, col=2,
    )  # fmt: skip
    figure.update_xaxes(title_text="epoch", dtick=1, row=1, col=1)
    figure.update_yaxes(title_text="training loss, mean over paths", row=1, col=1)
    figure.update_xaxes(title_text=f"Kendall's τ over {found['archs']} archs, 95 % intervals", row=1, col=2)
    figure.update_yaxes(autorange="reversed", row=1, col=2)
    figure.update_layout(
        template=TEMPLATE, width=1180, height=480, paper_bgcolor="#ffffff",
        margin={"l": 60, "r": 20, "t": 50, "b": 50}, legend={"orientation": "h", "y": 1.14, "x": 0},
    )  # fmt: skip
    drawn = pio.to_html(figure, config={"displayModeBar": False}, full_html=False)
    photograph(f'<body style="margin: 0">{drawn}</body>', 1180, 480, options.picture)


if __name__ == "__main__":
    main()
