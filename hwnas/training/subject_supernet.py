"""A supernet as the subject of a training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hwnas.evaluation.accuracy import Evaluator
from hwnas.evaluation.batchnorm import Forward
from hwnas.nn.supernet import Supernet
from hwnas.space.arch import Arch
from hwnas.space.registry import get_space
from hwnas.training.config import TrainConfig
from hwnas.training.data_of import data_of
from hwnas.training.run import save_supernet
from hwnas.training.sampling import SAMPLERS, spread_of_counts
from hwnas.training.update import TrainedPath

_WATCHED_ARCHS = 3
_WATCHED_IMAGES = 512
_COMPILED_GRAPHS = 1024
"""PyTorch gives up compiling a function at 8 variants; a supernet's blocks are one function of hundreds of shapes."""


class SupernetSubject:
    """All archs of a space."""

    teacher: Forward | None = None

    def __init__(self, config: TrainConfig) -> None:
        space = get_space(config.space, config.resolution)
        self.data = data_of(config, space.resolution)
        space = get_space(config.space, config.resolution, len(self.data.classes))
        space = space.inheriting() if config.stabilizers else space
        self.module: Supernet = Supernet(space, seed=config.seed)
        self.fingerprint = space.fingerprint
        self._config = config
        self._sampler = SAMPLERS.get(config.sampling)(
            space, np.random.default_rng(config.seed), config.paths_per_update
        )
        self._watched = space.sample(_WATCHED_ARCHS, config.seed)

    def next_paths(self, done: float) -> Sequence[TrainedPath]:
        rows = [tuple(row) for row in self._sampler.next(done).tolist()]
        return [
            TrainedPath(
                name=str(Arch(self.module.space, row)),
                forward=partial(self.module, arch=row),
                taught=self._sampler.first_teaches and index > 0,
            )
            for index, row in enumerate(rows)
        ]

    def places(self) -> Sequence[Sequence[nn.Module]]:
        return [[self.module.stem, self.module.head], *([layer] for layer in self.module.layers)]

    def paths_per_place(self, done: float) -> Sequence[float]:
        paths = self._sampler.paths(done)
        return [paths, *(paths / self._sampler.choices_in_play(done)).tolist()]

    def compile(self) -> None:
        torch._dynamo.config.recompile_limit = _COMPILED_GRAPHS
        for block in (
            self.module.stem,
            *(c for layer in self.module.layers for c in layer.children()),
            self.module.head,
        ):
            block.compile()

    def state(self) -> dict[str, Any] | None:
        return self._sampler.state()

    def restore(self, state: dict[str, Any] | None) -> None:
        assert state is not None
        self._sampler.restore(state)

    def facts(self) -> dict[str, Any]:
        return {
            "accuracy": self._accuracy(),
            "updates_per_choice": [counts.tolist() for counts in self._sampler.counts],
            "spread_of_counts": spread_of_counts(self._sampler),
        }

    def _accuracy(self) -> dict[str, float]:
        evaluator = Evaluator(
            self.module, self.data,
            recalibration_images=self._config.recalibration_batches * self._config.batch,
            evaluation_images=_WATCHED_IMAGES,
        )  # fmt: skip
        names = [str(Arch(self.module.space, tuple(row))) for row in self._watched.tolist()]
        return dict(zip(names, evaluator(self._watched).tolist(), strict=True))

    def save(self, run: Path) -> None:
        save_supernet(run, self.module, self.data, self._config, self._accuracy())
