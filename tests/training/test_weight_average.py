from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hwnas.training.weights import WeightAverage


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
