"""What a training trains: a supernet, path by path, or one network. The loop sees no difference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from hwnas.nn.derive import Network
from hwnas.nn.model_folder import ModelInfo, load_model, save_model
from hwnas.nn.supernet import Supernet
from hwnas.predict.count import count
from hwnas.space.arch import Arch
from hwnas.space.op import MBConv
from hwnas.space.yaml import get_space
from hwnas.train.batchnorm import Forward
from hwnas.train.config import TrainConfig
from hwnas.train.data import Data, load_data
from hwnas.train.evaluate import Evaluator, accuracy
from hwnas.train.run import read_supernet_info, save_supernet
from hwnas.train.sampling import SAMPLERS, spread_of_counts

_WATCHED_ARCHS = 3
_WATCHED_IMAGES = 512


class Subject(Protocol):
    """A module to train, and what to train it on."""

    @property
    def module(self) -> nn.Module:
        """Holds all weights."""
        ...

    @property
    def data(self) -> Data:
        """Says what is trained on and what is held out."""
        ...

    def next_paths(self) -> Sequence[tuple[str, Forward]]:
        """What the next update trains: (name for messages, x_NCHW -> logits)."""
        ...

    def uses(self) -> Iterable[tuple[float, nn.Module]]:
        """All modules with weights, each with the mean number of paths of an update that it lies on."""
        ...

    def state(self) -> dict[str, Any] | None:
        """What decides the paths to come."""
        ...

    def restore(self, state: dict[str, Any] | None) -> None:
        """Go on where :meth:`state` was taken."""
        ...

    def facts(self) -> dict[str, Any]:
        """For the log: ``accuracy`` on the validation part by name, and whatever else is worth a look."""
        ...

    def save(self, run: Path) -> None:
        """Write the result."""
        ...


class SupernetSubject:
    """All archs of a space."""

    def __init__(self, config: TrainConfig) -> None:
        space = get_space(config.space, config.resolution)
        self.data = load_data(config.data, space.resolution, held_out=config.held_out)
        space = get_space(config.space, config.resolution, len(self.data.classes))
        self.module: Supernet = Supernet(space, stabilizers=config.stabilizers, seed=config.seed)
        _start_near_identity(self.module)
        self._config = config
        self._sampler = SAMPLERS[config.sampling](space, np.random.default_rng(config.seed), config.paths_per_update)
        self._watched = space.sample(_WATCHED_ARCHS, config.seed)

    def next_paths(self) -> Sequence[tuple[str, Forward]]:
        rows = [tuple(row) for row in self._sampler.next().tolist()]
        return [(str(Arch(self.module.space, row)), partial(self.module, arch=row)) for row in rows]

    def uses(self) -> Iterable[tuple[float, nn.Module]]:
        paths = self._sampler.paths
        yield paths, self.module.stem
        for choices in self.module.layers:
            yield paths / len(list(choices.children())), choices
        yield paths, self.module.head

    def state(self) -> dict[str, Any] | None:
        return self._sampler.state()

    def restore(self, state: dict[str, Any] | None) -> None:
        assert state is not None
        self._sampler.restore(state)

    def facts(self) -> dict[str, Any]:
        return {"accuracy": self._accuracy(), "spread_of_counts": spread_of_counts(self._sampler)}

    def _accuracy(self) -> dict[str, float]:
        evaluator = Evaluator(
            self.module, self.data,
            recalibration_images=self._config.recalibration_batches * self._config.batch,
            evaluation_images=_WATCHED_IMAGES,
        )  # fmt: skip
        names = [str(Arch(self.module.space, tuple(row))) for row in self._watched.tolist()]
        return dict(zip(names, evaluator(self._watched).tolist(), strict=True))

    def save(self, run: Path) -> None:
        save_supernet(run, self.module, self.data, self._config.held_out, self._accuracy())


@torch.no_grad()
def _start_near_identity(supernet: Supernet) -> None:
    """Zero the scale of the last BN before each residual sum (Goyal et al., arXiv 1706.02677, §5.1).

    A residual choice then starts by passing its input on, as a skip with its stabilizer does. So all choices of
    such a layer agree at first, and what is behind them has one input to learn from instead of many.
    """
    for layer, ops in enumerate(supernet.space.layers):
        for choice, op in enumerate(ops):
            if isinstance(op, MBConv) and op.residual:
                supernet.get_parameter(f"layers.{layer}.{choice}.bn3.weight").zero_()


class NetworkSubject:
    """One network, from a MODEL folder."""

    def __init__(self, config: TrainConfig) -> None:
        assert config.network is not None
        begun, self._info = load_model(config.network)
        self.data = load_data(config.data, begun.space.resolution, held_out=config.held_out)
        self.module: Network = _for_classes(begun, len(self.data.classes), config.seed)

    def next_paths(self) -> Sequence[tuple[str, Forward]]:
        return [(str(self.module.arch), self.module)]

    def uses(self) -> Iterable[tuple[float, nn.Module]]:
        return [(1, self.module)]

    def state(self) -> dict[str, Any] | None:
        return None

    def restore(self, state: dict[str, Any] | None) -> None:
        assert state is None

    def facts(self) -> dict[str, Any]:
        return {"accuracy": {"validation": accuracy(self.module, self.data, self.data.validation)}}

    def save(self, run: Path) -> None:
        found = {
            "validation": accuracy(self.module, self.data, self.data.validation),
            "test": accuracy(self.module, self.data, self.data.test),
        }
        info = ModelInfo(
            data=self.data.spec, labels=self.data.classes, preprocessing=self.data.preprocessing, accuracy=found,
            made_from={**self._info.made_from, "data_sha256": self.data.fingerprint},
        )  # fmt: skip
        total = count(self.module.ops)
        save_model(self.module.cpu(), run / "model", info, madds=total.madds, params=total.params)


def _for_classes(network: Network, classes: int, seed: int) -> Network:
    """``network`` itself, or with a fresh classifier where the data has another number of classes."""
    space = network.space
    if space.classes == classes:
        return network
    space = replace(space, head=replace(space.head, c_out=classes))
    fresh = Network(space, network.choices, stabilizers=network.has_stabilizers, seed=seed)
    kept = {k: v for k, v in network.state_dict().items() if not k.startswith("head.classifier.")}
    fresh.load_state_dict(kept, strict=False)
    fresh.stabilizer_notes = dict(network.stabilizer_notes)
    return fresh


def make_subject(config: TrainConfig) -> Subject:
    """What ``config`` wants trained.

    Raises:
        SpaceError, DataError, ModelError, CheckpointError: a part of it can't be had.
    """
    return NetworkSubject(config) if config.network is not None else SupernetSubject(config)


def finished(run: Path, config: TrainConfig) -> dict[str, float] | None:
    """Accuracies of the result that lies in ``run``, by name; None where the training isn't finished."""
    if config.network is not None:
        return load_model(run / "model")[1].accuracy if (run / "model").exists() else None
    return read_supernet_info(run).accuracy if (run / "supernet.json").exists() else None
