"""An update of the supernet against the same archs trained by themselves, one update each, on the same images.

    python benchmarks/supernet_step.py [SPACE RESOLUTION BATCH]

Both do what the training loop does: forward and backward of every path, clipping, SGD with momentum. The supernet has
one optimizer step for all paths of an update, but has all choices' weights to pass over.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from common import machine, row, side_by_side
from torch import nn

from hwnas.evaluation.accuracy import channels_last
from hwnas.nn.layers import quiet_residuals
from hwnas.nn.network import Network
from hwnas.nn.process import keep_freed_memory
from hwnas.nn.supernet import Supernet
from hwnas.space.registry import get_space
from hwnas.training.config import TrainConfig
from hwnas.training.gradients import TrainedPath, accumulate
from hwnas.training.optimizer import make_optimizer, set_rates
from hwnas.training.sampling import FairDeck
from hwnas.training.tasks.classification import CrossEntropy


def update(
    module: nn.Module, places: Sequence[Sequence[nn.Module]], paths: Sequence[TrainedPath], x: torch.Tensor
) -> Callable[[], None]:
    optimizer = make_optimizer(TrainConfig(data="digits"), places)
    labels, criterion = torch.zeros(len(x), dtype=torch.int64), CrossEntropy(0.1)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        accumulate(paths, x, labels, criterion)
        nn.utils.clip_grad_norm_(module.parameters(), 20.0, foreach=True)
        set_rates(optimizer, 0.01, [1.0] * len(places))
        optimizer.step()

    return run


def main() -> None:
    name, resolution, batch = sys.argv[1:4] if len(sys.argv) == 4 else ("scarlet-tiny", "32", "64")
    space = get_space(name, int(resolution))
    torch.set_num_threads(1)  # more of them wait for one another longer than they compute on layers this small
    keep_freed_memory()
    x = torch.randn(int(batch), 3, space.resolution, space.resolution).contiguous(memory_format=torch.channels_last)
    supernet = channels_last(Supernet(space.inheriting())).train()
    places = [[supernet.stem, supernet.head], *([layer] for layer in supernet.layers)]
    deck = FairDeck(space, np.random.default_rng(0))
    print(f"{machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads, {name} at {resolution} px")
    for trial in range(3):
        archs = deck.next(0.0).tolist()
        together = update(supernet, places, [TrainedPath(name="", forward=partial(supernet, arch=a)) for a in archs], x)
        networks = [channels_last(Network(space.inheriting(), arch)).train() for arch in archs]
        for network in networks:
            for node in network.graph:
                quiet_residuals(network.get_submodule(node.place), node.op)
        alone = [update(net, [[net]], [TrainedPath(name="", forward=net)], x) for net in networks]

        def one_by_one(alone: list[Callable[[], None]] = alone) -> None:
            for run in alone:
                run()

        measured = side_by_side({"supernet, one update": together, "networks, one each": one_by_one}, rounds=12, runs=1)
        ours, theirs = (statistics.p50_ms for statistics in measured.values())
        for label, latency in measured.items():
            print(row(f"trial {trial}, {len(archs)} paths, {label}", latency))
        print(f"trial {trial}, throughput {theirs / ours:.3f} x")


if __name__ == "__main__":
    main()
