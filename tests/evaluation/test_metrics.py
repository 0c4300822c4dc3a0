from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, top_k_accuracy_score

from hwnas.errors import ConfigError
from hwnas.evaluation.metrics import Tally, Top1, plus_minus, wilson


def scores_of(logits: torch.Tensor, labels: torch.Tensor, k: int = 2, sizes: tuple[int, ...] = ()) -> dict[str, float]:
    tally, top1 = Tally(logits.shape[1], k), Top1()
    split = [*sizes, len(labels) - sum(sizes)]
    for some_logits, some_labels in zip(logits.split(split), labels.split(split), strict=True):
        tally.add(some_logits, some_labels)
        top1.add(some_logits, some_labels)
    found = tally.metrics()
    assert top1.metrics() == {"top1": found["top1"]}
    return found


def test_closed_forms() -> None:
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.2, 0.2, 0.6]]))
    found = scores_of(logits, torch.tensor([0, 0, 1, 1]))
    assert found["top1"] == 2 / 4  # the first two
    assert found["top_k"] == 3 / 4  # and the third's label is second; of the last's two equal logits the first is ahead
    assert found["k"] == 2
    assert found["balanced"] == (2 / 2 + 0 / 2) / 2  # class 2 has no image
    assert found["loss"] == pytest.approx(-math.log(0.7 * 0.5 * 0.3 * 0.2) / 4, abs=1e-6)


def test_an_accuracy_lies_within_its_interval() -> None:
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3
    for right, images, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)]:
        assert wilson(right / images, images) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    assert wilson(28 / 29, 29)[1] < 1
    assert wilson(1.0, 10) == (pytest.approx(10 / (10 + 1.959964**2)), 1.0)  # which isn't certainty
    for share, count, confidence in [(1.1, 10, 0.95), (math.nan, 10, 0.95), (0.5, 0, 0.95), (0.5, 10, 1.0)]:
        with pytest.raises(ConfigError, match="no interval"):
            wilson(share, count, confidence)
    assert (plus_minus(0.5, 96), plus_minus(0.5, None)) == ("50.00% ± 9.81", "50.00%")
    assert plus_minus(1.0, 25) == "100.00% ± 13.32"  # its interval ends at 86.68 %
    assert plus_minus(0.0, 25) == "0.00% ± 13.32"


@given(st.integers(1, 500), st.data())
def test_an_interval_is_where_the_score_test_rejects(images: int, data: st.DataObject) -> None:
    share = data.draw(st.integers(0, images)) / images
    low, high = wilson(share, images)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1
    for end in (low, high):  # the definition: |share - end| is 1.96 standard errors of a true share `end`
        off = abs(share - end) - 1.959963985 * math.sqrt(end * (1 - end) / images)
        assert off == pytest.approx(0, abs=1e-7)


def test_recall_counts_a_small_class_as_much_as_a_large_one() -> None:
    labels = torch.tensor([0] * 9 + [1])
    found = scores_of(torch.tensor([[1.0, 0.0]]).expand(10, 2), labels, k=1)
    assert (found["top1"], found["balanced"]) == (0.9, 0.5)
    assert found["top_k"] == found["top1"]


@settings(deadline=None)  # the first call may be slow
@given(
    seed=st.integers(0, 2**32 - 1), classes=st.integers(3, 6), k=st.integers(1, 2), cut=st.integers(0, 50)
)  # fmt: skip
def test_agrees_with_scikit_learn_however_the_batches_are_cut(seed: int, classes: int, k: int, cut: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(50, classes, generator=generator) * 3
    labels = torch.cat([torch.arange(classes), torch.randint(classes, (50 - classes,), generator=generator)])
    found = scores_of(logits, labels, k, (cut,))
    y, shown = labels.numpy(), logits.double().numpy()
    assert found["top1"] == accuracy_score(y, shown.argmax(axis=1))
    assert found["top_k"] == pytest.approx(top_k_accuracy_score(y, shown, k=k), abs=1e-12)
    assert found["balanced"] == pytest.approx(balanced_accuracy_score(y, shown.argmax(axis=1)), abs=1e-12)
    chances = np.exp(shown) / np.exp(shown).sum(axis=1, keepdims=True)
    assert found["loss"] == pytest.approx(log_loss(y, chances), rel=1e-9)


def test_as_many_as_there_are_classes_always_hold_the_label() -> None:
    assert (
        scores_of(torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 4, k=5)["top_k"]
        == 1
    )


def test_a_nan_is_never_right() -> None:
    found = scores_of(torch.full((4, 3), math.nan), torch.tensor([1, 1, 2, 2]), k=2)
    assert (found["top1"], found["top_k"]) == (0, 0)
    assert math.isnan(found["loss"])


@pytest.mark.parametrize("k", [0, -1])
def test_k_must_be_positive(k: int) -> None:
    with pytest.raises(ConfigError, match="k must be 1 or more"):
        Tally(10, k)
