from __future__ import annotations

import math

import pytest
import torch

from hwnas.training.tasks.classification import CrossEntropy, balanced_weights

X = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 5


def test_equal_logits_cost_the_logarithm_of_the_classes() -> None:
    for smoothing in (0.0, 0.1):
        loss = CrossEntropy(smoothing).loss(torch.zeros(4, 5), torch.arange(4))
        assert loss.item() == pytest.approx(math.log(5))


def test_smoothing_follows_its_definition() -> None:
    target = torch.full((12, 5), 0.3 / 5)
    target[torch.arange(12), LABELS] += 0.7
    expected = -(target * X.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(CrossEntropy(0.3).loss(X, LABELS), expected)


def test_a_teacher_that_is_sure_teaches_its_class() -> None:
    other = (LABELS + 1) % 5
    sure = torch.full((12, 5), -1e4).scatter(1, other[:, None], 1e4)
    torch.testing.assert_close(CrossEntropy(0.1).compare(X, sure), CrossEntropy().loss(X, other))


def test_a_student_that_agrees_has_no_gradient() -> None:
    logits = X.clone().requires_grad_()
    CrossEntropy().compare(logits, X).backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-7


def test_balanced_weights_let_each_class_weigh_the_same() -> None:
    labels = torch.tensor([0] * 8 + [1] * 2 + [2] * 2)
    weights = balanced_weights(labels, 3)
    per_class = torch.stack([weights[labels][labels == c].sum() for c in range(3)])
    torch.testing.assert_close(per_class, per_class[0].expand(3))
    assert weights[labels].mean().item() == pytest.approx(1)
    torch.testing.assert_close(balanced_weights(torch.tensor([0, 1]), 2), torch.ones(2))


def test_half_precision_logits_are_summed_in_single() -> None:
    logits = (X * 30).bfloat16()
    criterion = CrossEntropy(0.1)
    torch.testing.assert_close(criterion.loss(logits, LABELS), criterion.loss(logits.float(), LABELS))
