from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from hwnas.data.images import spread
from hwnas.data.load import Data, load_data
from hwnas.errors import ArchError, ConfigError
from hwnas.evaluation.accuracy import Evaluator, accuracy, batch_for, metrics_of, statistics_images
from hwnas.evaluation.metrics import Tally
from hwnas.nn.network import Network
from hwnas.nn.supernet import Supernet
from hwnas.space.chain import ChainSpace
from tests.training.training_cases import state_bytes


@pytest.fixture(scope="module")
def digits() -> Data:
    return load_data("digits", 16)


@pytest.fixture
def supernet(small_space: ChainSpace) -> Supernet:
    """Random weights everywhere, so that no choice is an identity by chance."""
    supernet = Supernet(small_space.inheriting(), seed=1).train()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.normal_(0, 0.3, generator=generator)
    return supernet


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


def test_scores_are_of_all_images_and_top1_is_the_accuracy(small_space: ChainSpace, digits: Data) -> None:
    network = Network(small_space, small_space.sample(1, seed=2)[0], seed=3).train()
    found = metrics_of(network, digits, digits.test, partial(Tally, 10, 3))
    assert network.training
    assert found["top1"] == accuracy(network, digits, digits.test)
    assert found["k"] == 3
    with torch.inference_mode():
        everything = torch.arange(len(digits.test.labels))
        logits = network.eval()(digits.normalize(digits.test.pixels(everything)))
    labels = digits.test.labels
    assert found["loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)), rel=1e-5)
    near = (logits.topk(3).indices == labels[:, None]).any(dim=1).double().mean()
    assert found["top_k"] == pytest.approx(float(near), abs=2 / len(labels))  # rounding


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


def test_archs_at_once_are_as_archs_alone(supernet: Supernet, digits: Data) -> None:
    evaluator = Evaluator(supernet, digits, recalibration_images=100, evaluation_images=300)
    archs = supernet.space.sample(6, seed=4)
    archs[1:4, :4] = archs[0, :4]
    archs[5] = archs[0]
    images = digits.validation
    chosen = spread(len(images.labels), 300)
    right = [
        (
            evaluator.logits(arch.tolist(), digits.normalize(images.pixels(chosen))).argmax(dim=1)
            == images.labels[chosen]
        )
        for arch in archs
    ]  # all of these in one batch, as the evaluator has them
    values = evaluator(archs)
    assert values.tolist() == [int(one.sum()) / len(chosen) for one in right]
    assert len(set(values.tolist())) > 2
    assert [evaluator(arch)[0] for arch in archs] == values.tolist()
    found = evaluator.metrics(archs, partial(Tally, 10, 2))
    assert [one["top1"] for one in found] == values.tolist()
    assert found[5] == found[0]
    assert all(one["top1"] <= one["top_k"] and one["k"] == 2 for one in found)


def test_progress_counts_the_distinct_archs(supernet: Supernet, digits: Data) -> None:
    told: list[tuple[str, int, int, str]] = []
    archs = supernet.space.sample(4, seed=0)
    Evaluator(supernet, digits)([*archs, archs[2]], lambda *now: told.append(now))
    assert told == [("evaluating", done, 4, "") for done in (1, 2, 3, 4)]


def test_no_archs_have_no_accuracies(supernet: Supernet, digits: Data) -> None:
    assert Evaluator(supernet, digits)(np.empty((0, 6), dtype=np.int64)).tolist() == []


@pytest.mark.parametrize("count", ["recalibration_images", "evaluation_images"])
def test_no_images_are_refused(supernet: Supernet, digits: Data, count: str) -> None:
    with pytest.raises(ConfigError, match="must be 1 or more"):
        Evaluator(supernet, digits, **{count: 0})


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


def test_images_of_the_statistics_and_what_is_told_of_them(digits: Data) -> None:
    there = len(digits.train.labels)
    assert statistics_images(digits) == (512, [])
    assert statistics_images(digits, 128) == (128, [])
    assert statistics_images(replace(digits, train=digits.train.take(torch.arange(300)))) == (300, [])
    taken, (few,) = statistics_images(digits, 127)
    assert taken == 127
    assert few.startswith("BN statistics from 127 images are unsure")
    taken, (capped,) = statistics_images(digits, there + 1000)
    assert there - batch_for(digits.resolution) < taken <= there
    assert f"come from {taken:,} images, not {there + 1000:,}: the train part has {there:,}" in capped
