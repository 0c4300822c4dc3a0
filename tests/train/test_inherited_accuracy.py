from __future__ import annotations

import numpy as np
import pytest
import torch

from hwnas.errors import ArchError
from hwnas.nn.supernet import Supernet
from hwnas.space.space import Space
from hwnas.train.data import Data, load_data
from hwnas.train.evaluate import Evaluator, accuracy, batch_for
from tests.train.training_cases import state_bytes


@pytest.fixture(scope="module")
def digits() -> Data:
    return load_data("digits", 16)


@pytest.fixture
def supernet(small_space: Space) -> Supernet:
    return Supernet(small_space, seed=1).train()


class _Oracle(torch.nn.Module):
    """Right on the first ``right`` images it is shown, wrong on the others."""

    def __init__(self, labels: torch.Tensor, right: int) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.answers = torch.where(torch.arange(len(labels)) < right, labels, (labels + 1) % 10)
        self.shown = 0

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        assert not self.training
        answers = self.answers[self.shown : self.shown + len(x_NCHW)]
        self.shown += len(x_NCHW)
        return torch.nn.functional.one_hot(answers, 10) * self.scale


@pytest.mark.parametrize("right", [0, 100, 300])
def test_accuracy_is_the_share_of_right_answers(digits: Data, right: int) -> None:
    network = _Oracle(digits.test.labels, right).train()
    assert accuracy(network, digits, digits.test) == right / len(digits.test.labels)
    assert network.shown == len(digits.test.labels)
    assert network.training


def test_an_arch_gets_the_same_accuracy_each_time_and_the_supernet_stays(supernet: Supernet, digits: Data) -> None:
    before = state_bytes(supernet)
    evaluator = Evaluator(supernet, digits, recalibration_images=64)
    archs = supernet.space.sample(4, seed=0)
    values = evaluator(archs)
    assert values.shape == (4,)
    assert values.dtype == np.float64
    assert ((values >= 0) & (values <= 1)).all()
    assert evaluator(archs[::-1]).tolist() == values[::-1].tolist()
    assert state_bytes(supernet) == before
    assert supernet.training


def test_a_derived_network_has_the_accuracy_of_its_evaluation(supernet: Supernet, digits: Data) -> None:
    evaluator = Evaluator(supernet, digits, recalibration_images=200)
    archs = supernet.space.sample(4, seed=5)
    one_image = 1 / len(digits.validation.labels)
    for arch, value in zip(archs, evaluator(archs), strict=True):
        network = evaluator.derive(arch.tolist()).eval()
        assert accuracy(network, digits, digits.validation) == pytest.approx(value, abs=1.1 * one_image)  # rounding


def test_recalibration_images_come_from_the_train_part_and_fill_whole_batches(
    supernet: Supernet, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    original = Data.normalize
    monkeypatch.setattr(Data, "normalize", lambda self, pixels: (seen.append(len(pixels)), original(self, pixels))[1])
    Evaluator(supernet, digits, recalibration_images=100, evaluation_images=50)(supernet.space.sample(1, seed=0))
    assert seen == [100, 50]
    seen.clear()
    size = batch_for(16)
    assert size < 1294
    Evaluator(supernet, digits, recalibration_images=size + 1)(supernet.space.sample(1, seed=0))
    assert seen == [size, len(digits.validation.labels)]  # the train part has no second whole batch


def test_a_foreign_arch_is_refused(supernet: Supernet, digits: Data) -> None:
    with pytest.raises(ArchError, match="has 6 choices"):
        Evaluator(supernet, digits)([[0, 0]])
