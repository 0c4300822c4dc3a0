from __future__ import annotations

import math

import pytest
import torch

from hwnas.training.tasks.classification import CrossEntropy, balanced_weights
from hwnas.training.update import Passes, TrainedPath, accumulate

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


def linear(seed: int) -> torch.nn.Linear:
    layer = torch.nn.Linear(5, 5)
    with torch.no_grad():
        layer.weight.normal_(generator=torch.Generator().manual_seed(seed))
        layer.bias.zero_()
    return layer


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0])])
def test_a_batch_in_parts_gives_the_gradient_of_the_whole(parts: int, weights: torch.Tensor | None) -> None:
    first, second = linear(0), linear(1)
    both = [TrainedPath(name="a", forward=first), TrainedPath(name="b", forward=second)]
    criterion = CrossEntropy(0.1, weights)
    losses = accumulate(both, X, LABELS, criterion, Passes(parts=parts))
    for module, loss in zip((first, second), losses, strict=True):
        whole = criterion.loss(module(X), LABELS)
        (expected,) = torch.autograd.grad(whole, [module.weight])
        assert module.weight.grad is not None
        torch.testing.assert_close(module.weight.grad, expected)
        assert loss == pytest.approx(whole.item(), rel=1e-5)


def test_the_first_path_teaches_and_does_not_learn_from_being_copied() -> None:
    first, second = linear(0), linear(1)
    paths = [TrainedPath(name="largest", forward=first), TrainedPath(name="other", forward=second, taught=True)]
    accumulate(paths, X, LABELS, CrossEntropy(), distillation=1.0)
    (alone,) = torch.autograd.grad(CrossEntropy().loss(first(X), LABELS), [first.weight])
    torch.testing.assert_close(first.weight.grad, alone)
    (taught,) = torch.autograd.grad(CrossEntropy().compare(second(X), first(X).detach()), [second.weight])
    torch.testing.assert_close(second.weight.grad, taught)


def test_a_teacher_teaches_every_path_and_gets_no_gradient() -> None:
    teacher, student = linear(2), linear(0)
    criterion = CrossEntropy()
    path = TrainedPath(name="a", forward=student)
    (loss,) = accumulate([path], X, LABELS, criterion, distillation=0.25, teacher=teacher)
    expected = 0.75 * criterion.loss(student(X), LABELS) + 0.25 * criterion.compare(student(X), teacher(X).detach())
    assert loss == pytest.approx(expected.item())
    (gradient,) = torch.autograd.grad(expected, [student.weight])
    torch.testing.assert_close(student.weight.grad, gradient)
    assert teacher.weight.grad is None


def test_bf16_computes_in_bf16_and_keeps_single_weights() -> None:
    seen: list[torch.dtype] = []
    module = linear(0)

    def forward(x: torch.Tensor) -> torch.Tensor:
        seen.append(module(x).dtype)
        return module(x)  # type: ignore[no-any-return]

    accumulate([TrainedPath(name="a", forward=forward)], X, LABELS, CrossEntropy(), Passes(precision="bf16"))
    assert seen == [torch.bfloat16]
    assert module.weight.grad is not None
    assert module.weight.grad.dtype == torch.float32


def test_a_scaled_loss_scales_gradients_and_not_what_is_reported() -> None:
    module = linear(0)
    passes = Passes(scale=lambda value: value * 1024)
    (loss,) = accumulate([TrainedPath(name="a", forward=module)], X, LABELS, CrossEntropy(), passes)
    (expected,) = torch.autograd.grad(CrossEntropy().loss(module(X), LABELS), [module.weight])
    torch.testing.assert_close(module.weight.grad, expected * 1024)
    assert loss == pytest.approx(CrossEntropy().loss(module(X), LABELS).item())
