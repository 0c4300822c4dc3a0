from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hwnas.training.config import TrainConfig
from hwnas.training.optimizer import WeightAverage, make_optimizer, set_rates


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


def set_to(module: nn.Module, value: float) -> None:
    for tensor in module.state_dict().values():
        tensor.fill_(value)


@settings(max_examples=20, deadline=None)
@given(decay=st.floats(0, 0.999), values=st.lists(st.floats(-10, 10), min_size=1, max_size=12))
def test_it_follows_its_recurrence(decay: float, values: list[float]) -> None:
    module = nn.Linear(2, 2)
    set_to(module, 1.0)
    average, expected = WeightAverage(module, decay), 1.0
    for t, value in enumerate(values, start=1):
        set_to(module, value)
        average.update(t)
        kept = min(decay, (1 + t) / (10 + t))
        expected = kept * expected + (1 - kept) * value
        torch.testing.assert_close(average.tensors["weight"], torch.full((2, 2), expected), atol=1e-4, rtol=1e-4)


def test_inside_is_the_average_and_outside_the_weights_to_the_bit() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    average = WeightAverage(module, 0.5)
    with torch.no_grad():
        module[0].weight.normal_(generator=torch.Generator().manual_seed(0))
    module[1].running_mean.fill_(3)
    average.update(1000)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    try:
        with average.in_place():
            for name, tensor in average.tensors.items():
                assert torch.equal(module.state_dict()[name], tensor)
            assert torch.equal(module[1].running_mean, torch.full((3,), 1.5))  # statistics are averaged as well
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_a_restored_average_goes_on_as_the_first() -> None:
    module = nn.Linear(2, 2)
    first = WeightAverage(module, 0.9)
    set_to(module, 2.0)
    first.update(50)
    second = WeightAverage(module, 0.9)
    second.restore({name: tensor.clone() for name, tensor in first.tensors.items()})
    set_to(module, 5.0)
    for average in (first, second):
        average.update(51)
    assert all(torch.equal(first.tensors[name], second.tensors[name]) for name in first.tensors)
