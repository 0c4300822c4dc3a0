"""One network as the subject of a training."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hwnas.errors import ArchError, ConfigError
from hwnas.evaluation.accuracy import accuracy, scores
from hwnas.evaluation.batchnorm import Forward
from hwnas.graph.count import count
from hwnas.nn.layers import quiet_residuals
from hwnas.nn.model_folder import ModelInfo, load_model, save_model
from hwnas.nn.network import Network
from hwnas.space.arch import parse_arch
from hwnas.training.config import TrainConfig
from hwnas.training.data_of import data_of
from hwnas.training.teacher import load_teacher, teacher_origin
from hwnas.training.update import TrainedPath


class NetworkSubject:
    """One network: of a MODEL folder, or of an arch, from scratch."""

    def __init__(self, config: TrainConfig) -> None:
        assert config.network is not None
        network, self._before = _network(config)
        self.data = data_of(config, network.space.resolution)
        self.module: Network = _for_classes(network, len(self.data.classes), config.seed)
        self._config = config
        self._forward: Forward = self.module
        self.teacher, self._taught_by = None, {}
        if config.teacher is not None:
            self.teacher = load_teacher(config.teacher, self.data, config.device)
            self._taught_by = teacher_origin(config.teacher)
        described = f"{self.module.space.fingerprint} {self.module.choices} {self.module.space.inherits}"
        self.fingerprint = hashlib.sha256(described.encode()).hexdigest()

    def next_paths(self, done: float) -> Sequence[TrainedPath]:
        return [TrainedPath(name=str(self.module.arch), forward=self._forward)]

    def places(self) -> Sequence[Sequence[nn.Module]]:
        return [[self.module]]

    def paths_per_place(self, done: float) -> Sequence[float]:
        return [1]

    def compile(self) -> None:
        self._forward = torch.compile(self.module)

    def state(self) -> dict[str, Any] | None:
        return None

    def restore(self, state: dict[str, Any] | None) -> None:
        assert state is None

    def facts(self) -> dict[str, Any]:
        found = scores(self.module, self.data, self.data.validation, min(self._config.top_k, len(self.data.classes)))
        return {"accuracy": {"validation": found.top1}, "validation": asdict(found)}

    def save(self, run: Path) -> None:
        found = {
            "validation": accuracy(self.module, self.data, self.data.validation),
            "test": accuracy(self.module, self.data, self.data.test),
        }
        info = ModelInfo(
            data=self.data.spec, labels=self.data.classes, preprocessing=self.data.preprocessing, accuracy=found,
            made_from={**self._before.made_from, **self._taught_by, "data_sha256": self.data.fingerprint},
            searched=self._before.searched,
        )  # fmt: skip
        total = count(self.module.graph)
        save_model(self.module.cpu(), run / "model", info, madds=total.madds, params=total.params)


def _network(config: TrainConfig) -> tuple[Network, ModelInfo]:
    """The network to begin with, and what is known of where it comes from."""
    assert config.network is not None
    if os.path.isdir(config.network):
        if config.resolution is not None:
            raise ConfigError(f"resolution: {config.network} has one already; leave it out, or give an arch to train")
        network, info = load_model(Path(config.network))
        made_from = {
            name: value for name, value in info.made_from.items() if name != "weights"
        }  # they won't stay random
        if info.weights_sha256:
            made_from["initial_weights_sha256"] = info.weights_sha256
        return network, info.model_copy(update={"made_from": made_from})
    try:
        arch = parse_arch(config.network, config.resolution)
    except ArchError as error:
        raise ConfigError(f"network: there is no MODEL folder {config.network}, and as an arch: {error}") from None
    network = Network(arch.space, arch, seed=config.seed)
    for node in network.graph:
        quiet_residuals(network.get_submodule(node.place), node.op)  # as a supernet's paths start
    return network, ModelInfo(made_from={"arch": Path(config.network).name})


def _for_classes(network: Network, classes: int, seed: int) -> Network:
    """``network`` itself, or with a fresh classifier where the data has another number of classes."""
    space = network.space
    if space.classes == classes:
        return network
    space = replace(space, head=replace(space.head, c_out=classes))
    fresh = Network(space, network.choices, seed=seed)
    kept = {k: v for k, v in network.state_dict().items() if not k.startswith("head.classifier.")}
    fresh.load_state_dict(kept, strict=False)
    fresh.stabilizer_notes = dict(network.stabilizer_notes)
    return fresh
