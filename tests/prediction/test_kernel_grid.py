"""Which kernels a device is profiled with: the design's own criterion, worked out by hand and by enumeration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest

from hwnas.graph.kernel import Kernel, KernelNode, Value
from hwnas.prediction.kernel_grid import LENGTH_SCALE, NOISE, RESIDUAL, ROUGH_MS, kernel_grid, rough_ms
from hwnas.prediction.kernels import costs_of, kind_of, sizes_of


def conv(channels: int, pixels: int, kernel: int = 1) -> Kernel:
    shape = (1, channels, pixels, pixels)
    return Kernel(
        opset=17,
        nodes=(KernelNode(op="Conv", attributes=(("kernel_shape", (kernel, kernel)),), inputs=(0, 1), outputs=(2,)),),
        values=(
            Value(dtype="float32", shape=shape),
            Value(dtype="float32", shape=(channels, channels, kernel, kernel), constant=True),
            Value(dtype="float32", shape=shape),
        ),
        outputs=(2,),
    )


def relu(channels: int, pixels: int) -> Kernel:
    value = Value(dtype="float32", shape=(1, channels, pixels, pixels))
    return Kernel(
        opset=17, nodes=(KernelNode(op="Relu", inputs=(0,), outputs=(1,)),), values=(value, value), outputs=(1,)
    )


NETWORKS = [
    [conv(16, 32), relu(16, 32), conv(32, 16), relu(32, 16), conv(32, 16)],
    [conv(64, 8, 3), relu(64, 8), conv(128, 4, 3)],
    [conv(16, 32, 3), conv(32, 16, 3), relu(32, 16), relu(128, 4)],
]


def variance(networks: Sequence[Sequence[Kernel]], measured: Sequence[Kernel]) -> float:
    """Of networks' relative latencies, added up: the posterior of Gaussian processes as a textbook has it."""
    every = list({k.key: k for network in networks for k in network}.values())
    total = 0.0
    for kind in {kind_of(kernel) for kernel in every}:
        of_kind = [kernel for kernel in every if kind_of(kernel) == kind]
        costs = np.array([np.array(costs_of(k)) * ROUGH_MS for k in of_kind])
        relative = costs / costs.sum(axis=1, keepdims=True)
        names = sorted({name for k in of_kind for name in sizes_of(k)})
        sizes = np.array([[sizes_of(k).get(name, 0.0) for name in names] for k in of_kind])
        apart = np.sqrt(3) * np.sqrt(((sizes[:, None] - sizes[None]) ** 2).sum(axis=2)) / LENGTH_SCALE
        prior = relative @ relative.T + RESIDUAL * (1 + apart) * np.exp(-apart)
        at = [place for place, k in enumerate(of_kind) if k in measured]
        posterior = prior
        if at:
            gain = np.linalg.inv(prior[np.ix_(at, at)] + NOISE * np.eye(len(at)))
            posterior = prior - prior[:, at] @ gain @ prior[at]
        for network in networks:
            whole_ms = sum(map(rough_ms, network))
            share = np.array([network.count(k) * rough_ms(k) / whole_ms for k in of_kind])
            total += share @ posterior @ share
    return total


def test_each_kernel_taken_is_the_one_that_lowers_the_variance_most() -> None:
    every = list({k.key: k for network in NETWORKS for k in network}.values())
    chosen = kernel_grid(NETWORKS, len(every), least=2)
    assert {k.key for k in chosen} == {k.key for k in every}
    assert len(chosen) == len(every)
    least = 4  # two of each kind come first, each kind by itself
    for number in range(least, len(every)):
        known = chosen[:number]
        left = [k for k in every if k not in known]
        best = min(variance(NETWORKS, (*known, k)) for k in left)
        assert variance(NETWORKS, chosen[: number + 1]) == pytest.approx(best, rel=1e-6)


def test_a_design_is_better_than_random_ones_and_near_the_best_of_all() -> None:
    every = list({k.key: k for network in NETWORKS for k in network}.values())
    chosen = kernel_grid(NETWORKS, 6, least=2)
    by_kind = Counter(map(kind_of, chosen))
    found = variance(NETWORKS, chosen)
    allowed = [
        variance(NETWORKS, each)
        for each in combinations(every, len(chosen))
        if min(Counter(map(kind_of, each)).values()) >= 2 and len(Counter(map(kind_of, each))) == len(by_kind)
    ]
    assert found < np.quantile(allowed, 0.1)
    assert found < 1.1 * min(allowed)


def test_of_each_kind_there_are_enough_for_a_model_whatever_was_asked() -> None:
    assert Counter(kernel.kind for kernel in kernel_grid(NETWORKS, 1, least=2)) == {"Conv": 2, "Relu": 2}
    lonely = [[*NETWORKS[0], conv(8, 8).model_copy(update={"opset": 17})], [relu(8, 8)]]
    assert min(Counter(kernel.kind for kernel in kernel_grid(lonely, 1, least=2)).values()) == 2


def test_what_is_measured_anyway_is_not_chosen_again_but_counts() -> None:
    taken = tuple(NETWORKS[0])
    chosen = kernel_grid(NETWORKS, 3, taken, least=2)
    assert len(chosen) == 3
    assert not {k.key for k in chosen} & {k.key for k in taken}
    alone = kernel_grid(NETWORKS, 3, least=2)
    assert variance(NETWORKS, (*taken, *chosen)) <= variance(NETWORKS, (*taken, *alone))


def test_the_order_of_networks_does_not_matter_for_how_good_it_is() -> None:
    there, back = (kernel_grid(networks, 6, least=2) for networks in (NETWORKS, NETWORKS[::-1]))
    assert variance(NETWORKS, there) == pytest.approx(variance(NETWORKS, back), rel=1e-6)
