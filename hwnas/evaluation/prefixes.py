"""Many paths of a supernet for the work of their distinct prefixes.

What a layer puts out, and so its BN statistics, depends on nothing but the images and the layers before it. Paths that
begin alike share that beginning: they form a tree, which is walked depth first, once for each batch. Each module runs
on the same numbers as if paths were run one after another, so all results are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hwnas.errors import ConfigError
from hwnas.evaluation.batchnorm import fresh_statistics, norms_of, unchanged
from hwnas.nn.supernet import Supernet

MEMORY_LIMIT_BYTES = 2**30

End = Callable[[int, torch.Tensor], None]
"""What to do at the end of a path: (index of the arch, its logits of the batch (N, classes))."""

Batches = Callable[[], Iterable[tuple[torch.Tensor, End]]]
"""All batches anew at each call: normalised x_NCHW, each with what to do with its logits."""

_Path = tuple[int, ...]  # the choice at each level: stem (always 0), choice layers, head (always 0)
_Statistics = list[tuple[_BatchNorm, dict[str, torch.Tensor]]]  # buffers of each BN of a module


@dataclass(frozen=True)
class _Step:
    """A module behind one prefix, with the BN statistics that it has there."""

    module: nn.Module
    statistics: _Statistics

    def __call__(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        for norm, buffers in self.statistics:
            norm._buffers.update(buffers)
        return self.module(x_NCHW)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Branch:
    """Steps up to a fork and the branches there, or up to the end of the path of arch number ``arch``."""

    steps: list[_Step]
    branches: list[_Branch]
    arch: int | None


class SharedPaths:
    """Runs many paths of a supernet, each with BN statistics of its own.

    Args:
        supernet: any; nothing of it is changed after a run, however that ends.
        batch: images of the largest batch to come.
        memory_limit_bytes: for the statistics of all branches, and the outputs kept at the forks of the current one.
            Where the statistics of all paths don't fit, paths are run group by group. Where the outputs of a level
            don't fit, paths don't fork there but at a level before, and repeat what is between. The batch itself and
            what a module needs while it runs come on top.

    Attributes:
        peak_bytes: the most that was kept at once in the last run.

    Raises:
        ConfigError: the limit is below what the statistics of one path take.
    """

    def __init__(self, supernet: Supernet, batch: int, memory_limit_bytes: int = MEMORY_LIMIT_BYTES) -> None:
        self._supernet = supernet
        choice_layers = [list(choices.children()) for choices in supernet.layers]
        self._levels = [[supernet.stem], *choice_layers, [supernet.head]]
        self._bytes = [[_statistics_bytes(module) for module in choices] for choices in self._levels]
        least = sum(map(max, self._bytes))
        if memory_limit_bytes < least:
            raise ConfigError(
                f"memory_limit_bytes is {memory_limit_bytes}, but the BN statistics of one arch of "
                f"{supernet.space.name} take up to {least}; raise it"
            )
        inputs = _input_bytes(supernet, batch)
        self._forks: list[int] = []  # levels before which paths may fork
        self._statistics_limit = memory_limit_bytes
        for level in sorted(inputs, key=lambda level: (inputs[level], level)):
            if self._statistics_limit - inputs[level] >= max(least, memory_limit_bytes // 2):
                self._statistics_limit -= inputs[level]
                self._forks.append(level)
        self._forks.sort()
        self._kept_bytes = self.peak_bytes = 0

    def run(self, archs: Sequence[Sequence[int]], recalibration: Batches, images: Batches) -> None:
        """Recalibrate BN for each arch on the average of ``recalibration``, then run it on ``images`` in eval mode.

        Args:
            archs: distinct archs of the supernet's space, sorted.
            recalibration: batches of train images.
            images: batches of the images to evaluate on.
        """
        self.peak_bytes = 0
        paths = [(index, (0, *arch, 0)) for index, arch in enumerate(archs)]
        with unchanged([self._supernet]), torch.inference_mode():
            for norm in norms_of([self._supernet]):
                norm.momentum = None  # a plain average over the batches
            for group in self._groups(paths):
                self._run(group, recalibration, images)

    def _run(self, group: list[tuple[int, _Path]], recalibration: Batches, images: Batches) -> None:
        self._kept_bytes = 0
        branches = self._grow(group, 0)
        for training, batches in ((True, recalibration), (False, images)):
            self._supernet.train(training)
            for x_NCHW, end in batches():
                self._fork(branches, x_NCHW, end)

    def _groups(self, paths: list[tuple[int, _Path]]) -> Iterator[list[tuple[int, _Path]]]:
        """Runs of paths whose statistics fit the limit."""
        group: list[tuple[int, _Path]] = []
        used_bytes = 0
        for index, path in paths:
            shared = self._shared_levels(group[-1][1], path) if group else 0
            more_bytes = self._path_bytes(path, shared)
            if used_bytes + more_bytes > self._statistics_limit:
                yield group
                group, used_bytes, more_bytes = [], 0, self._path_bytes(path, 0)
            group.append((index, path))
            used_bytes += more_bytes
        if group:
            yield group

    def _shared_levels(self, before: _Path, path: _Path) -> int:
        """The level at which ``path`` forks from the one before it."""
        differs = next(level for level, (a, b) in enumerate(zip(before, path, strict=True)) if a != b)
        return max((fork for fork in self._forks if fork <= differs), default=0)

    def _path_bytes(self, path: _Path, start: int) -> int:
        return sum(self._bytes[level][path[level]] for level in range(start, len(path)))

    def _grow(self, paths: list[tuple[int, _Path]], start: int) -> list[_Branch]:
        """The branches of paths that agree on all levels before ``start``."""
        stop = next((fork for fork in self._forks if fork > start), len(self._levels))
        grown = []
        for choices, group in groupby(paths, key=lambda path: path[1][start:stop]):
            steps = [self._step(level, choice) for level, choice in enumerate(choices, start)]
            behind = list(group)
            if stop == len(self._levels):
                grown += [_Branch(steps, [], arch) for arch, _ in behind]
                continue
            branches = self._grow(behind, stop)
            if len(branches) == 1:  # no fork, so nothing is kept there
                (only,) = branches
                grown.append(_Branch(steps + only.steps, only.branches, only.arch))
            else:
                grown.append(_Branch(steps, branches, None))
        return grown

    def _step(self, level: int, choice: int) -> _Step:
        module = self._levels[level][choice]
        self._keep(self._bytes[level][choice])
        return _Step(module, [(norm, fresh_statistics(norm)) for norm in norms_of([module])])

    def _fork(self, branches: list[_Branch], x_NCHW: torch.Tensor, end: End) -> None:
        *others, last = branches
        for branch in others:
            self._follow(branch, x_NCHW.clone(), end)  # a copy, because a module may work in place
        self._follow(last, x_NCHW, end)

    def _follow(self, branch: _Branch, x_NCHW: torch.Tensor, end: End) -> None:
        for step in branch.steps:
            x_NCHW = step(x_NCHW)
        if branch.arch is not None:
            end(branch.arch, x_NCHW)
            return
        self._keep(x_NCHW.nbytes)
        self._fork(branch.branches, x_NCHW, end)
        self._keep(-x_NCHW.nbytes)

    def _keep(self, more_bytes: int) -> None:
        self._kept_bytes += more_bytes
        self.peak_bytes = max(self.peak_bytes, self._kept_bytes)


def _statistics_bytes(module: nn.Module) -> int:
    return sum(buffer.nbytes for norm in norms_of([module]) for buffer in norm.buffers())


def _input_bytes(supernet: Supernet, batch: int) -> dict[int, int]:
    """What a batch takes in front of each level that has several choices."""
    space = supernet.space
    before = [space.stem, *(choices[0] for choices in space.layers)]  # all choices of a layer have one output shape
    element_bytes = next(supernet.parameters()).element_size()
    return {
        level: batch * prod(op.out_shape) * element_bytes
        for level, (op, choices) in enumerate(zip(before, space.layers, strict=False), start=1)
        if len(choices) > 1
    }
