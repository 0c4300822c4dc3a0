"""Which kernels to measure so that any model is predicted well: optimal design over what networks contain.

Each kind of kernel is a Gaussian process, as :mod:`hwnas.prediction.regression` fits it: of latencies relative to a
rough guess, a sum over costs whose weights aren't known, and a Matérn residual over sizes. Latency of a network is the
sum of its kernels', so how unsure it is follows from how unsure they are, together. Greedily the kernel is taken that
lowers the average variance of typical networks most: an I-optimal design (Atkinson, Donev, Tobias 2007, §10.6; for
Gaussian processes Cohn's criterion, Seo et al. 2000) whose region of interest is networks. What a kernel takes isn't
known yet; the guess is a roofline of a machine such as there are many.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from scipy.spatial.distance import cdist

from hwnas.arrays import Values
from hwnas.graph.kernel import Kernel
from hwnas.prediction.kernels import costs_of, kind_of, sizes_of
from hwnas.prediction.regression import matern

ROUGH_MS = np.array([2e-3, 2.5e-8, 1e-7, 1e-7, 1e-7])
"""Of a call, a multiply-add, a byte of inputs, of outputs, of weights."""
LENGTH_SCALE = 8.0
RESIDUAL, NOISE = 0.1, 0.003
"""Variances of what sizes say beyond costs, and of a measurement; of a cost's weight it is 1."""


def kernel_grid(
    networks: Sequence[Sequence[Kernel]], count: int, taken: Collection[Kernel] = (), least: int = 4
) -> tuple[Kernel, ...]:
    """The kernels to measure beside those ``taken`` anyway, in the order in which they are worth it.

    Args:
        networks: of each typical network the kernels that it launches.
        count: of kernels to choose.
        taken: they are measured in any case.
        least: so many of each kind there are at least, if the networks have them, whatever ``count`` is.
    """
    kinds = _kinds(networks)
    by_key = {kernel.key: kind for kind in kinds for kernel in kind.kernels}
    for kernel in taken:
        if kernel.key in by_key:
            by_key[kernel.key].take(by_key[kernel.key].place(kernel))
    chosen: list[Kernel] = []
    for kind in kinds:
        while len(kind.taken) < min(least, len(kind.kernels)):
            chosen.append(kind.take(kind.best))
    for _ in range(count - len(chosen)):
        kind = max(kinds, key=lambda each: each.gain)
        if kind.gain <= 0:
            break
        chosen.append(kind.take(kind.best))
    return tuple(chosen)


def rough_ms(kernel: Kernel) -> float:
    """What it may take, before anything is measured."""
    return float(np.array(costs_of(kernel)) @ ROUGH_MS)


def _kinds(networks: Sequence[Sequence[Kernel]]) -> list[_Kind]:
    shares: dict[tuple[str, ...], dict[str, tuple[Kernel, Values]]] = {}
    for number, kernels in enumerate(networks):
        total_ms = sum(map(rough_ms, kernels))
        for kernel in kernels:
            of_kind = shares.setdefault(kind_of(kernel), {})
            _, share = of_kind.setdefault(kernel.key, (kernel, np.zeros(len(networks))))
            share[number] += rough_ms(kernel) / total_ms
    return [_Kind([k for k, _ in each.values()], np.array([s for _, s in each.values()]).T) for each in shares.values()]


class _Kind:
    """The candidates of a kind, and how unsure networks are by them.

    Args:
        kernels: N of them.
        shares: (M, N) of the latency of each of M networks.

    Attributes:
        taken: places of those that are measured.
        best: the place of the one to be measured next.
        gain: by how much the variance of the M networks, added up, is lower then.
    """

    def __init__(self, kernels: list[Kernel], shares: Values) -> None:
        self.kernels, self.taken = kernels, list[int]()
        self._places = {kernel.key: place for place, kernel in enumerate(kernels)}
        costs = np.array([costs_of(kernel) for kernel in kernels]) * ROUGH_MS
        relative = costs / costs.sum(axis=1, keepdims=True)
        names = sorted({name for kernel in kernels for name in sizes_of(kernel)})
        sizes = np.array([[sizes_of(kernel).get(name, 0.0) for name in names] for kernel in kernels])
        near = matern(cdist(sizes, sizes) / LENGTH_SCALE)
        self._covariance = relative @ relative.T + RESIDUAL * near
        self._variance = self._covariance.diagonal().copy()
        self._of_networks = shares @ self._covariance
        self._found: list[Values] = []
        self._judge()

    def place(self, kernel: Kernel) -> int:
        return self._places[kernel.key]

    def take(self, place: int) -> Kernel:
        """Measure it: what it says of the others is known from now on."""
        known = np.array(self._found)
        column = self._covariance[:, place] - (known.T @ known[:, place] if len(known) else 0.0)
        part = column / np.sqrt(self._variance[place] + NOISE)
        self._of_networks -= np.outer(self._of_networks[:, place], part) / np.sqrt(self._variance[place] + NOISE)
        self._variance = np.maximum(self._variance - part**2, 0.0)
        self._found.append(part)
        self.taken.append(place)
        self._judge()
        return self.kernels[place]

    def _judge(self) -> None:
        gains = (self._of_networks**2).sum(axis=0) / (self._variance + NOISE)
        gains[self.taken] = 0.0
        self.best, self.gain = int(gains.argmax()), float(gains.max())
