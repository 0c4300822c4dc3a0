from __future__ import annotations

import pytest
import torch

from hwnas.training.gradients import Passes, TrainedPath, accumulate
from hwnas.training.tasks.classification import CrossEntropy

X = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 5


def linear(seed: int) -> torch.nn.Linear:
    layer = torch.nn.Linear(5, 5)
    with torch.no_grad():
        layer.weight.normal_(generator=torch.Generator().manual_seed(seed))
        layer.bias.zero_()
    return layer


@pytest.mark.parametrize("pieces", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0])])
def test_a_batch_in_pieces_gives_the_gradient_of_the_whole(pieces: int, weights: torch.Tensor | None) -> None:
    first, second = linear(0), linear(1)
    both = [TrainedPath(name="a", forward=first), TrainedPath(name="b", forward=second)]
    criterion = CrossEntropy(0.1, weights)
    losses = accumulate(both, X, LABELS, criterion, Passes(pieces=pieces))
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
