"""Inherited accuracy of an evolved population: work of common prefixes shared, against one arch after another.

    python benchmarks/evaluate_archs.py [--archs 1000] [--rounds 2] [--space scarlet-tiny]

The archs are the last 1,000 that NSGA-II (population 200, 15 generations) proposed while it maximised a stand-in for
accuracy and minimised multiply-adds; it proposes no arch twice. The stand-in: each choice of each layer has a random
gain, and so has each pair of choices of neighbouring layers, at a quarter of the size; the sum saturates.
Both ways see the digits at the space's resolution, 512 to recalibrate and all of the validation part; 1 thread.
"Shares nothing": archs that differ in the first layer, so that only the stem is common; and single archs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from common import machine

from hwnas.arrays import Archs
from hwnas.data.images import spread
from hwnas.data.load import Data, load_data
from hwnas.evaluation.accuracy import Evaluator, batch_for
from hwnas.evaluation.batchnorm import recalibrated
from hwnas.nn.supernet import Supernet
from hwnas.optimize import FeasibleRegion, Objective, Problem
from hwnas.optimize.strategies.nsga2 import NSGA2
from hwnas.prediction.costs import madds
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space

POPULATION, GENERATIONS = 200, 15
Accuracies = npt.NDArray[np.float64]


def evolved(space: ChainSpace, count: int) -> Archs:
    """The last ``count`` archs that the search proposed."""
    rng = np.random.default_rng(0)
    gains = rng.normal(size=(space.num_layers, int(max(space.num_choices))))
    pairs = rng.normal(size=(space.num_layers - 1, *gains.shape[1:], *gains.shape[1:])) / 4
    cost = madds(space.inheriting())

    def quality(archs: Archs) -> Accuracies:
        layers = np.arange(space.num_layers)
        total = gains[layers, archs].sum(axis=1) + pairs[layers[:-1], archs[:, :-1], archs[:, 1:]].sum(axis=1)
        result: Accuracies = np.tanh((total + cost(archs) / cost(archs).max() * 4) / 8)
        return result

    objectives = (Objective("quality", quality, maximize=True), Objective("madds", cost, free=True))
    problem = Problem(space, objectives, ())
    strategy = NSGA2(problem, FeasibleRegion(problem), rng, population=POPULATION)
    asked = []
    for _ in range(max(GENERATIONS, -(-count // POPULATION))):
        archs = strategy.ask(POPULATION)
        strategy.tell(archs, np.column_stack([objective.values(archs) for objective in objectives]))
        asked.append(archs)
    return np.concatenate(asked)[-count:]


class OneByOne:
    """Each arch alone: recalibrate BN, then look at all images."""

    def __init__(self, supernet: Supernet, data: Data) -> None:
        self._supernet, self._data = supernet, data
        size = min(batch_for(data.resolution), 512)
        self._train = data.train.pixels(spread(len(data.train.labels), 512)).split(size)  # type: ignore[no-untyped-call]
        everything = torch.arange(len(data.validation.labels))
        self._pixels = data.validation.pixels(everything).split(size)  # type: ignore[no-untyped-call]
        self._labels = data.validation.labels.split(size)  # type: ignore[no-untyped-call]

    def __call__(self, archs: Archs) -> Accuracies:
        return np.array([self._accuracy(tuple(row)) for row in archs.tolist()])

    def _accuracy(self, arch: tuple[int, ...]) -> float:
        forward = partial(self._supernet, arch=arch)
        batches = (self._data.normalize(pixels) for pixels in self._train)
        right = 0
        with recalibrated(self._supernet.path(arch), forward, batches), torch.inference_mode():
            for pixels, labels in zip(self._pixels, self._labels, strict=True):
                right += int((forward(self._data.normalize(pixels)).argmax(dim=1) == labels).sum())
        return right / sum(map(len, self._labels))


def shaken(supernet: Supernet) -> Supernet:
    """Random weights everywhere, also where a fresh supernet has zeros: all choices differ then."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in supernet.parameters():
            if parameter.dim() == 1:
                parameter.uniform_(0.5, 1.5, generator=generator)
    return supernet


def compare(name: str, calls: Mapping[str, Callable[[], Accuracies]], rounds: int) -> None:
    """Time the calls in turn, check that they agree, print the median ratio."""
    wall_s: dict[str, list[float]] = {key: [] for key in calls}
    cpu_s: dict[str, list[float]] = {key: [] for key in calls}
    results = {}
    for _ in range(rounds):
        for key, call in calls.items():
            wall, cpu = time.perf_counter(), time.process_time()
            results[key] = call()
            wall_s[key].append(time.perf_counter() - wall)
            cpu_s[key].append(time.process_time() - cpu)
    one, shared = calls
    ratio, cpu_ratio = (np.median(np.divide(seconds[one], seconds[shared])) for seconds in (wall_s, cpu_s))
    same = np.array_equal(results[one], results[shared])
    took = ", ".join(f"{key} {np.median(seconds):.2f} s" for key, seconds in wall_s.items())
    print(f"{name}: {took}: {ratio:.3f}× faster ({cpu_ratio:.3f}× by processor time); same accuracies: {same}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--space", default="scarlet-tiny")
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = load_data("digits", get_space(given.space).resolution)
    space = get_space(given.space, classes=len(data.classes))
    supernet = shaken(Supernet(space.inheriting()))
    shared, one_by_one = Evaluator(supernet, data, recalibration_images=512), OneByOne(supernet, data)
    archs = evolved(space, given.archs)
    one_by_one(archs[:2])  # warm
    print(f"{machine()}, torch {torch.__version__}, 1 thread, {space.name}, {len(archs)} distinct archs")
    for count in sorted({len(archs), min(len(archs), POPULATION), 20}, reverse=True):
        some = archs[-count:]
        name = f"evolved, {count} archs"
        calls = {"one by one": lambda some=some: one_by_one(some), "shared": lambda some=some: shared(some)}
        compare(name, calls, given.rounds)
        print(f"  kept at most {shared.peak_bytes / 2**20:.1f} MiB; " + sharing(space, some))
    apart = np.tile(archs[-1], (space.num_choices[0], 1))
    apart[:, 0] = np.arange(space.num_choices[0])
    compare("share nothing but the stem", {"one": lambda: one_by_one(apart), "shared": lambda: shared(apart)}, 11)
    singles = space.sample(4, 0)
    alone = {
        "one": lambda: one_by_one(singles),
        "shared": lambda: np.concatenate([shared(arch) for arch in singles]),
    }
    compare("single archs", alone, 11)


def sharing(space: ChainSpace, archs: Archs) -> str:
    """How much is common."""
    prefixes = [len(np.unique(archs[:, :depth], axis=0)) for depth in range(1, space.num_layers + 1)]
    return f"distinct prefixes by depth: {prefixes}"


if __name__ == "__main__":
    main()
