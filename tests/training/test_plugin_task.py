"""A task that is no classification, as a plug-in: a digit by regression. Learners and searches take it as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch

from hwnas.data.load import load_data
from hwnas.errors import ConfigError
from hwnas.flow.rank import rank
from hwnas.flow.train import train
from hwnas.training.config import TrainConfig
from hwnas.training.learners.network import NetworkConfig
from hwnas.training.log import read_log
from hwnas.training.tasks import TASKS, TaskConfig
from hwnas.training.trained import SupernetAccuracy, load_supernet
from tests.training.training_cases import short


class ValueConfig(TaskConfig):
    kind: Literal["value"] = "value"


class Near:
    """The share of images whose output is within a half of the digit."""

    def __init__(self) -> None:
        self._near, self._images = 0, 0

    def add(self, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        self._near += int(((outputs[:, 0] - targets).abs() < 0.5).sum())
        self._images += len(targets)

    def metrics(self) -> dict[str, float]:
        return {"near": self._near / self._images}


class SquaredError:
    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (outputs[:, 0].float() - targets).square().mean()

    def compare(self, outputs: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
        return (outputs.float() - taught.float()).square().mean()


class Value:
    Config = ValueConfig
    outputs = 1
    criterion = SquaredError()

    def __init__(self, config: TrainConfig, resolution: int) -> None:
        self.data = load_data(config.data, resolution, held_out=config.held_out)

    @staticmethod
    def objective(device: torch.device) -> Near:
        return Near()

    def metrics(self, device: torch.device) -> Near:
        return Near()


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS._built_in, "value", Value)


def test_a_network_learns_it_alone_and_from_a_teacher(small_yaml: Path, tmp_path: Path) -> None:
    learner = NetworkConfig(network=f"{small_yaml}:0,0,0,0,0,0")
    settings = TrainConfig(
        data="digits", learner=learner, task=ValueConfig(), epochs=6, batch=64, learning_rate=0.02, augment="none",
        threads=1,
    )  # fmt: skip
    alone = train(settings, tmp_path / "alone")
    log = read_log(alone.run)
    assert log[-1].loss < 0.3 * log[0].loss
    assert [list(line.validation or {}) for line in log] == [["near"]] * 6
    assert alone.accuracy["test"] > 0.3  # a guess is right in a tenth
    taught = learner.model_copy(update={"teacher": alone.result, "distillation": 1.0})
    found = train(settings.model_copy(update={"learner": taught}), tmp_path / "taught")
    assert found.accuracy["test"] > 0.3


def test_archs_of_a_supernet_are_judged_by_its_metric(small_yaml: Path, tmp_path: Path) -> None:
    run = train(short(small_yaml, task=ValueConfig(), paths_per_update=1, learning_rate=0.02), tmp_path / "run").run
    supernet = load_supernet(run).supernet
    assert supernet.space.classes == 1
    archs = supernet.space.sample(5, 0)
    values = SupernetAccuracy(run)(archs)
    near = load_supernet(run).evaluator().metrics(archs, Value.objective)
    assert values.tolist() == pytest.approx([metrics["near"] for metrics in near], abs=0.02)
    assert read_log(run)[-1].accuracy.keys() == load_supernet(run).info.accuracy.keys()
    with pytest.raises(ConfigError, match="learnt value; rank compares classifiers"):
        rank(run, standalone=10)
