"""A training step of one path in the supernet against the same arch as a standalone network.

    python benchmarks/supernet_step.py [SPACE RESOLUTION BATCH]

One step: zero gradients, forward, loss, backward, SGD with momentum.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from common import machine, row, side_by_side
from torch import nn
from torch.nn import functional

from hwnas.nn.derive import Network
from hwnas.nn.supernet import Supernet
from hwnas.space.yaml import get_space


def step(module: nn.Module, forward: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> Callable[[], None]:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    labels = torch.zeros(len(x), dtype=torch.int64)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(forward(x), labels).backward()
        optimizer.step()

    return run


def main() -> None:
    name, resolution, batch = sys.argv[1:4] if len(sys.argv) == 4 else ("scarlet-tiny", "32", "64")
    space = get_space(name, int(resolution))
    torch.set_num_threads(1)  # more of them wait for one another longer than they compute on layers this small
    x = torch.randn(int(batch), 3, space.resolution, space.resolution)
    supernet = Supernet(space).train()
    print(f"{machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads, {name} at {resolution} px")
    for seed in range(3):
        arch = space.sample(1, seed)[0]
        network = Network(space, arch, stabilizers=True).train()
        measured = side_by_side(
            {
                "supernet path": step(supernet, lambda x, arch=arch: supernet(x, arch), x),  # type: ignore[misc]
                "standalone network": step(network, network, x),
            },
            rounds=12,
            runs=3,
        )
        ratio = measured["supernet path"].p50_ms / measured["standalone network"].p50_ms
        for label, latency in measured.items():
            print(row(f"arch {seed}, {label}", latency))
        print(f"arch {seed}, ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
