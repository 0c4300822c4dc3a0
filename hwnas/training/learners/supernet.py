"""A supernet, trained path by path as a sampling rule deals them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import field_validator, model_validator
from torch import nn

from hwnas.evaluation.accuracy import Evaluator
from hwnas.nn.supernet import Supernet
from hwnas.records.train import Facts, TrainRecord
from hwnas.space.arch import Arch
from hwnas.space.ref import Size
from hwnas.space.registry import get_space
from hwnas.training.config import Count, Share, TrainConfig
from hwnas.training.gradients import Passes, TrainedPath, accumulate
from hwnas.training.learners import Learner, LearnerConfig, TermLoss
from hwnas.training.sampling import SAMPLERS
from hwnas.training.tasks import TASKS
from hwnas.training.trained import read_supernet_info, save_supernet

_WATCHED_ARCHS = 3
_WATCHED_IMAGES = 512
_COMPILED_GRAPHS = 1024
"""PyTorch gives up compiling a function at 8 variants; a supernet's blocks are one function of hundreds of shapes."""


class SupernetConfig(LearnerConfig):
    """How to train a supernet.

    Attributes:
        space: a name or a YAML file.
        resolution: input height and width in pixels; the space's own when absent.
        stabilizers: learnable 1×1 convolutions on skips.
        sampling: of paths: ``strict-fair``, ``uniform``, ``sandwich``, ``progressive``, or a plug-in's name.
        paths_per_update: single-path models whose gradients are summed; as the rule has it when absent.
        distillation: the first path's share of the others' loss, where a rule has it teach them; 1 when absent.
        recalibration_batches: of BN statistics, before accuracies that go into the log.
    """

    kind: Literal["supernet"] = "supernet"
    space: str = "scarlet-tiny"
    resolution: Size | None = None
    stabilizers: bool = True
    sampling: str = "strict-fair"
    paths_per_update: Count | None = None
    distillation: Share | None = None
    recalibration_batches: Count = 4

    @field_validator("sampling")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in (known := SAMPLERS.names()):
            raise ValueError(f"there is no such rule; known: {', '.join(known)}")
        return name

    @model_validator(mode="after")
    def _somebody_teaches(self) -> SupernetConfig:
        if self.distillation is not None and not SAMPLERS.get(self.sampling).first_teaches:
            raise ValueError("distillation needs a sampling rule whose first path teaches the others, as 'sandwich'")
        return self


class SupernetLearner(Learner):
    """All archs of a space; an update has a term for each path that the sampling rule deals."""

    Config = SupernetConfig

    def __init__(self, config: TrainConfig) -> None:
        own = config.learner
        assert isinstance(own, SupernetConfig)
        self._config, self._own = config, own
        self.task = TASKS.get(config.task.kind)(config, get_space(own.space, own.resolution).resolution)
        space = get_space(own.space, own.resolution, self.task.outputs)
        self.module: Supernet = Supernet(space.inheriting() if own.stabilizers else space, seed=config.seed)
        self.fingerprint = space.fingerprint
        self._sampler = SAMPLERS.get(own.sampling)(space, np.random.default_rng(config.seed), own.paths_per_update)
        self._watched = space.sample(_WATCHED_ARCHS, config.seed)

    def gradients(self, x_NCHW: torch.Tensor, targets: torch.Tensor, done: float, passes: Passes) -> list[TermLoss]:
        rows = [tuple(row) for row in self._sampler.next(done).tolist()]
        paths = [
            TrainedPath(
                name=f"arch {Arch(self.module.space, row)}",
                forward=partial(self.module, arch=row),
                taught=self._sampler.first_teaches and index > 0,
            )
            for index, row in enumerate(rows)
        ]
        share = 1.0 if self._own.distillation is None else self._own.distillation
        losses = accumulate(paths, x_NCHW, targets, self.task.criterion, passes, distillation=share)
        return [TermLoss(path.name, loss) for path, loss in zip(paths, losses, strict=True)]

    def places(self) -> Sequence[Sequence[nn.Module]]:
        return [[self.module.stem, self.module.head], *([layer] for layer in self.module.layers)]

    def terms_per_place(self, done: float) -> Sequence[float]:
        paths = self._sampler.paths(done)
        return [paths, *(paths / self._sampler.choices_in_play(done)).tolist()]

    def compile(self) -> None:
        torch._dynamo.config.recompile_limit = _COMPILED_GRAPHS
        choices = (choice for layer in self.module.layers for choice in layer.children())
        for block in (self.module.stem, *choices, self.module.head):
            block.compile()

    def state(self) -> dict[str, Any] | None:
        return self._sampler.state()

    def restore(self, state: dict[str, Any] | None) -> None:
        assert state is not None
        self._sampler.restore(state)

    def facts(self) -> Facts:
        return Facts(
            accuracy=self._accuracy(),
            updates_per_choice=tuple(tuple(counts.tolist()) for counts in self._sampler.counts),
            spread_of_counts=max(int(np.ptp(counts)) for counts in self._sampler.counts),
        )

    def _accuracy(self) -> dict[str, float]:
        evaluator = Evaluator(
            self.module, self.task.data, objective=self.task.objective,
            recalibration_images=self._own.recalibration_batches * self._config.batch,
            evaluation_images=_WATCHED_IMAGES,
        )  # fmt: skip
        names = [str(Arch(self.module.space, tuple(row))) for row in self._watched.tolist()]
        return dict(zip(names, evaluator(self._watched).tolist(), strict=True))

    def save(self, run: Path) -> None:
        images = min(_WATCHED_IMAGES, len(self.task.data.validation.labels))
        save_supernet(run, self.module, self.task.data, self._config, self._accuracy(), images)

    @staticmethod
    def finished(run: Path) -> TrainRecord | None:
        if not (run / "supernet.json").exists():
            return None
        info = read_supernet_info(run)
        return TrainRecord(run=run, result=run, accuracy=info.accuracy, accuracy_images=info.accuracy_images)
