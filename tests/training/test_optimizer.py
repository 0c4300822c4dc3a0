from __future__ import annotations

import pytest
import torch
from torch import nn

from hwnas.training.config import TrainConfig
from hwnas.training.weights import make_optimizer, set_rates


def places() -> list[list[nn.Module]]:
    return [[nn.Linear(2, 2), nn.Linear(2, 1)], [nn.Linear(2, 2)], [nn.Identity()]]


def test_sgd_moves_each_place_by_the_mean_gradient_of_its_paths() -> None:
    modules = places()
    optimizer = make_optimizer(TrainConfig(data="digits", momentum=0, weight_decay=0), modules)
    set_rates(optimizer, 0.5, [4, 2, 0.5])
    weights = [modules[0][0].weight, modules[0][1].weight, modules[1][0].weight]
    before = [w.detach().clone() for w in weights]
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    for weight, old, rate in zip(weights, before, (0.125, 0.125, 0.25), strict=True):
        torch.testing.assert_close(old - weight, torch.full_like(weight, rate))
    assert [group["lr"] for group in optimizer.param_groups] == [0.125, 0.25, 0.5]


def test_adamw_has_one_rate() -> None:
    optimizer = make_optimizer(TrainConfig(data="digits", optimizer="adamw"), places())
    set_rates(optimizer, 0.001, [13, 1, 1])
    assert isinstance(optimizer, torch.optim.AdamW)
    assert {group["lr"] for group in optimizer.param_groups} == {0.001}


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_weights_without_a_gradient_stay_as_they_are(name: str) -> None:
    modules = places()
    config = TrainConfig(data="digits", optimizer=name, weight_decay=0.5)  # type: ignore[arg-type]
    optimizer = make_optimizer(config, modules)
    set_rates(optimizer, 0.1, [1, 1, 1])
    used, unused = modules[0][0].weight, modules[1][0].weight
    old = unused.detach().clone()
    for _ in range(3):
        used.grad = torch.ones_like(used)
        optimizer.step()
    assert torch.equal(unused, old)
    assert unused not in optimizer.state
