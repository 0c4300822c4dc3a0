"""Does it pay to begin with inherited weights, and to learn from a teacher?

    mkdir cifar10 && tar -xJf cifar10.tar.xz -C cifar10          # any folder with train/<class>/ and test/<class>/
    python benchmarks/winner_training.py cifar10 -o runs/winner  # or: digits

Trains a supernet, derives one arch and the largest, trains the largest by itself for twice as long (a teacher), then
the one arch with every seed for the same epochs: from scratch and from inherited weights, alone and with each teacher.
All by the verbs; started again after a kill, it goes on. Prints a table of test accuracies.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.nn.model_folder import load_model
from hwnas.space.arch import parse_arch
from hwnas.training.config import TrainConfig
from hwnas.training.learners import LearnerConfig
from hwnas.training.learners.network import NetworkConfig
from hwnas.training.learners.supernet import SupernetConfig
from hwnas.training.sampling import largest_arch


def main() -> None:
    options = _options()
    root: Path = options.output
    supernet, model, large = root / "supernet", root / "inherited", root / "large"
    common = {"data": options.data, "augment": options.augment, "threads": 1, "batch": options.batch}
    whole = SupernetConfig(space=options.space, resolution=options.resolution)
    _train(supernet, common, whole, epochs=options.supernet_epochs)
    arch = parse_arch(options.arch, options.resolution)
    for path, choices in ((model, arch.choices), (large, largest_arch(arch.space))):
        if not path.exists():
            _hwnas("derive", f"{options.space}:{','.join(map(str, choices))}", "--supernet", supernet, "-o", path)
    _train(teacher := root / "teacher", common, NetworkConfig(network=str(large)), epochs=2 * options.epochs)
    scratch = NetworkConfig(network=str(arch), resolution=options.resolution)
    inherited = NetworkConfig(network=str(model))
    ways = {
        "from scratch": scratch,
        "from scratch, taught by the trained largest": scratch.model_copy(update={"teacher": teacher / "model"}),
        "inherited": inherited,
        "inherited, taught by the supernet": inherited.model_copy(update={"teacher": supernet}),
        "inherited, taught by the trained largest": inherited.model_copy(update={"teacher": teacher / "model"}),
    }
    print("| way | test accuracy, mean ± deviation of the seeds |\n|---|---|")
    print(f"| inherited, not trained | {load_model(model).info.accuracy['inherited, test']:.2%} |")
    print(f"| the trained largest | {load_model(teacher / 'model').info.accuracy['test']:.2%} |")
    for number, (name, way) in enumerate(ways.items()):
        runs = [root / f"way{number}-seed{seed}" for seed in range(options.seeds)]
        for seed, run in enumerate(runs):
            _train(run, common, way, epochs=options.epochs, seed=seed)
        found = np.array([load_model(run / "model").info.accuracy["test"] for run in runs])
        print(f"| {name} | {found.mean():.2%} ± {100 * found.std(ddof=1):.2f} |", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ways of training a winner.")
    parser.add_argument("data", help="folder of images, or any other data of hwnas train")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--space", default="scarlet-tiny")
    parser.add_argument("--arch", default="scarlet-tiny:4,2,2,4,6,5,3,6")
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--augment", default="shift")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--supernet-epochs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    return parser.parse_args()


def _train(run: Path, common: dict[str, Any], learner: LearnerConfig, **settings: Any) -> None:
    config = run.with_suffix(".yaml")
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(TrainConfig(**common, learner=learner, **settings).to_yaml())
    _hwnas("train", config, "-o", run, "--resume")


def _hwnas(*words: object) -> None:
    words = (sys.executable, "-m", "hwnas", *words)
    done = subprocess.run(list(map(str, words)), stdout=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
