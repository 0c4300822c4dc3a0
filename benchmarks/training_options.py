"""What options of ``hwnas train`` do to its speed on this machine, in images per second.

    python benchmarks/training_options.py [--space macro-w8] [--batch 64] [--rounds 3] [--epochs 6]

Every training is a process of its own, on the digits, one thread; variants take turns in random order. Images per
second are those of the last epoch, so that compiling, which comes first, is told apart: it shows in the seconds.
"freed memory returned" is how PyTorch trains by itself, without hwnas/nn/process.py.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import machine

import hwnas.nn.process

VARIANTS: dict[str, dict[str, object]] = {
    "as it is": {},
    "freed memory returned": {},
    "bf16": {"precision": "bf16"},
    "compiled": {"compile": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="macro-w8")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--one", choices=VARIANTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        train_one(given.one, given.space, given.batch, given.epochs)
        return
    settings = ["--space", given.space, "--batch", str(given.batch), "--epochs", str(given.epochs)]
    command = [sys.executable, __file__, *settings, "--one"]
    found: dict[str, list[tuple[float, float]]] = {variant: [] for variant in VARIANTS}
    rng = np.random.default_rng(0)
    for _ in range(given.rounds):
        for variant in rng.permutation(list(VARIANTS)).tolist():
            done = subprocess.run([*command, variant], check=True, stdout=subprocess.PIPE, text=True)
            found[variant].append(tuple(json.loads(done.stdout)))
    print(
        f"{machine()}, {given.space} on digits, batch {given.batch}, {given.epochs} epochs, "
        f"median (lowest, highest) of {given.rounds}"
    )
    for variant, runs in found.items():
        speeds, seconds = zip(*runs, strict=True)
        print(
            f"{variant:<24}{statistics.median(speeds):7.0f} images/s ({min(speeds):.0f}, {max(speeds):.0f}), "
            f"{statistics.median(seconds):6.1f} s in all"
        )


def train_one(variant: str, space: str, batch: int, epochs: int) -> None:
    """Print images per second of the last epoch, and seconds in all."""
    if variant == "freed memory returned":
        hwnas.nn.process.keep_freed_memory = lambda: None
    from hwnas.training.config import TrainConfig  # now, so that the training sees that
    from hwnas.training.log import read_log
    from hwnas.training.loop import run_training

    options = {
        "data": "digits",
        "learner": {"space": space},
        "batch": batch,
        "epochs": epochs,
        "warmup_epochs": 0,
        "threads": 1,
    }
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        run_training(
            TrainConfig.model_validate({**options, "learner": {"space": space}, **VARIANTS[variant]}),
            Path(folder) / "run",
        )
        seconds = time.perf_counter() - started
        print(json.dumps([read_log(Path(folder) / "run")[-1].images_per_second, seconds]))


if __name__ == "__main__":
    main()
