"""One network: of a MODEL folder, or of an arch, from scratch; alone or with a teacher."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator

from hwnas.data.load import Data
from hwnas.errors import ArchError, ConfigError
from hwnas.evaluation.accuracy import Evaluator, channels_last, metrics_of
from hwnas.evaluation.answers import answers_of
from hwnas.files import no_folder
from hwnas.nn.layers import quiet_residuals
from hwnas.nn.model_folder import load_model, save_model
from hwnas.nn.network import Network
from hwnas.records.model import ModelInfo
from hwnas.records.train import TrainRecord
from hwnas.space.arch import parse_arch
from hwnas.space.chain import ChainSpace
from hwnas.space.ref import Size
from hwnas.training.config import Share, TrainConfig
from hwnas.training.gradients import Passes, TrainedPath, accumulate
from hwnas.training.learners import Learner, LearnerConfig, TermLoss
from hwnas.training.sampling import largest_arch
from hwnas.training.tasks import TASKS
from hwnas.training.tasks.classification import Classification
from hwnas.training.trained import load_supernet


class NetworkConfig(LearnerConfig):
    """How to train one network.

    Attributes:
        network: a MODEL folder to fine-tune, or an arch to train from scratch.
        resolution: input height and width in pixels of an arch; its space's own when absent.
        teacher: a supernet's run folder (its largest network teaches) or a MODEL folder; ``network`` learns from it.
        distillation: the teacher's share of the loss; 0.5 when absent.
    """

    kind: Literal["network"] = "network"
    network: str
    resolution: Size | None = None
    teacher: Annotated[Path, Field(strict=False)] | None = None
    distillation: Share | None = None

    @model_validator(mode="after")
    def _somebody_teaches(self) -> NetworkConfig:
        if self.distillation is not None and self.teacher is None:
            raise ValueError("distillation needs a 'teacher'")
        return self


class NetworkLearner(Learner):
    """One network; an update's only term is its own."""

    Config = NetworkConfig

    def __init__(self, config: TrainConfig) -> None:
        own = config.learner
        assert isinstance(own, NetworkConfig)
        self._own = own
        network = _network(own, config.seed)
        self.task = TASKS.get(config.task.kind)(config, network.space.resolution)
        self.module: Network = _with_outputs(network, self.task.outputs, config.seed)
        self._teacher: Network | None = None
        self._taught_by: dict[str, str] = {}
        if own.teacher is not None:
            self._teacher, sha256 = load_teacher(own.teacher, self.task.data, config.device)
            self._taught_by = {"teacher": own.teacher.resolve().name, "teacher_sha256": sha256}
        described = f"{self.module.space.fingerprint} {self.module.choices} {self.module.space.inherits}"
        self.fingerprint = hashlib.sha256(described.encode()).hexdigest()

    def gradients(self, x_NCHW: torch.Tensor, targets: torch.Tensor, done: float, passes: Passes) -> list[TermLoss]:
        path = TrainedPath(name=f"arch {self.module.arch}", forward=self.module)
        share = 0.5 if self._own.distillation is None else self._own.distillation
        (loss,) = accumulate(
            [path], x_NCHW, targets, self.task.criterion, passes, distillation=share, teacher=self._teacher
        )
        return [TermLoss(path.name, loss)]

    def save(self, run: Path) -> None:
        data = self.task.data
        parts = {"validation": data.validation, "test": data.test}
        accuracy = {
            name: next(iter(metrics_of(self.module, data, part, self.task.objective).values()))
            for name, part in parts.items()
        }
        answers = answers_of(self.module, data) if isinstance(self.task, Classification) else None
        network = self.module.cpu()
        network.info = ModelInfo(
            data=data.spec, labels=data.classes, preprocessing=data.preprocessing, accuracy=accuracy,
            accuracy_images={name: len(part.labels) for name, part in parts.items()},
            made_from={**network.info.made_from, **self._taught_by, "data_sha256": data.fingerprint},
            searched=network.info.searched, corrupt_images=data.corrupt,
        )  # fmt: skip
        save_model(network, run / "model", answers)

    @staticmethod
    def finished(run: Path) -> TrainRecord | None:
        result = run / "model"
        if not result.exists():
            return None
        info = load_model(result).info
        return TrainRecord(run=run, result=result, accuracy=info.accuracy, accuracy_images=info.accuracy_images)


def _network(own: NetworkConfig, seed: int) -> Network:
    """The network to begin with; its ``info`` says where it comes from."""
    if os.path.isdir(own.network):
        if own.resolution is not None:
            raise ConfigError(f"resolution: {own.network} has one already; leave it out, or give an arch to train")
        network = load_model(Path(own.network))
        info = network.info
        # weights that were random won't stay so
        made_from = {name: value for name, value in info.made_from.items() if name != "weights"}
        if info.weights_sha256:
            made_from["initial_weights_sha256"] = info.weights_sha256
        network.info = info.model_copy(update={"made_from": made_from})
        return network
    if len(Path(own.network).parts) > 1 and ":" not in own.network and not own.network.endswith(".json"):
        raise ConfigError(f"network: {no_folder(Path(own.network), 'give a MODEL folder, or an arch')}")
    try:
        arch = parse_arch(own.network, own.resolution)
    except ArchError as error:
        raise ConfigError(f"network: there is no MODEL folder {own.network}, and as an arch: {error}") from None
    network = Network(arch.space, arch, seed=seed)
    for node in network.graph:
        quiet_residuals(network.get_submodule(node.place), node.op)  # as a supernet's paths start
    network.info = ModelInfo(made_from={"arch": Path(own.network).name})
    return network


def _with_outputs(network: Network, outputs: int, seed: int) -> Network:
    """``network`` itself, or with a fresh classifier where the task has another number of outputs."""
    space = network.space
    if space.classes == outputs:
        return network
    space = space.with_classes(outputs)
    fresh = Network(space, network.choices, seed=seed)
    kept = {k: v for k, v in network.state_dict().items() if not k.startswith("head.classifier.")}
    fresh.load_state_dict(kept, strict=False)
    fresh.stabilizers, fresh.info = network.stabilizers, network.info
    return fresh


def load_teacher(folder: Path, data: Data, device: str) -> tuple[Network, str]:
    """A frozen network to learn from: a MODEL folder's, or a trained supernet's largest with statistics of its own.

    Returns:
        It, and the SHA-256 of the weights that ``folder`` holds.

    Raises:
        CheckpointError, ModelError: ``folder`` holds neither.
        ConfigError: it tells other classes apart, or takes another resolution.
    """
    if (folder / "supernet.json").exists():
        trained = load_supernet(folder)
        _check(folder, trained.info.data.labels, trained.supernet.space, data)
        teacher, sha256 = Evaluator(trained.supernet, data).derive(largest_arch(trained.supernet.space)), trained.sha256
    else:
        teacher = load_model(folder)
        _check(folder, teacher.info.labels, teacher.space, data)
        sha256 = str(teacher.info.weights_sha256)
    return channels_last(teacher.to(device)).eval().requires_grad_(False), sha256


def _check(folder: Path, labels: tuple[str, ...] | None, space: ChainSpace, data: Data) -> None:
    if labels != data.classes:
        raise ConfigError(f"teacher: {folder} wasn't trained on the classes of {data.spec}; take another")
    if space.resolution != data.resolution:
        raise ConfigError(f"teacher: {folder} takes {space.resolution} px, the network {data.resolution}; take another")
