from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, top_k_accuracy_score

from hwnas.errors import ConfigError
from hwnas.evaluation.metrics import Tally, Top1


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
