from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.errors import DataError
from hwnas.evaluation.batchnorm import recalibrated
from hwnas.nn.network import Network
from hwnas.nn.supernet import Supernet
from hwnas.space.chain import ChainSpace
from tests.training.training_cases import state_bytes


def images(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 3 + 1


def captured_inputs(network: nn.Module, run: Callable[[], object]) -> dict[str, list[torch.Tensor]]:
    """What reached each BN layer while ``run`` ran, by name."""
    inputs: dict[str, list[torch.Tensor]] = {}
    hooks = [
        layer.register_forward_pre_hook(
            lambda _, args, name=name: inputs.setdefault(name, []).append(args[0].detach().double())
        )
        for name, layer in network.named_modules()
        if isinstance(layer, nn.BatchNorm2d)
    ]
    run()
    for hook in hooks:
        hook.remove()
    return inputs


def recalibrate(network: nn.Module, batches: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """The network's statistics while it has those of ``batches``, by name."""
    with recalibrated([network], network, batches):
        return {name: buffer.clone() for name, buffer in network.named_buffers()}


def test_one_batch_gives_the_statistics_of_the_population(small_space: ChainSpace) -> None:
    network = Network(small_space, small_space.sample(1, seed=0)[0])
    found: dict[str, torch.Tensor] = {}
    inputs = captured_inputs(network, lambda: found.update(recalibrate(network, [images(64, 0)])))
    assert len(inputs) > 5
    for name, (x_NCHW,) in inputs.items():
        values = x_NCHW.permute(1, 0, 2, 3).flatten(1).numpy()  # (C, N·H·W)
        mean, var = found[f"{name}.running_mean"].numpy(), found[f"{name}.running_var"].numpy()
        np.testing.assert_allclose(mean, values.mean(axis=1), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(var, values.var(axis=1, ddof=1), rtol=1e-4, atol=1e-5)


def test_several_batches_count_the_same(small_space: ChainSpace) -> None:
    network = Network(small_space, small_space.sample(1, seed=1)[0])
    batches = [images(16, seed) * (1 + seed) for seed in range(3)]
    found: dict[str, torch.Tensor] = {}
    inputs = captured_inputs(network, lambda: found.update(recalibrate(network, batches)))
    for name, xs in inputs.items():
        values = [x.permute(1, 0, 2, 3).flatten(1).numpy() for x in xs]
        means, variances = [v.mean(axis=1) for v in values], [v.var(axis=1, ddof=1) for v in values]
        mean, var = found[f"{name}.running_mean"].numpy(), found[f"{name}.running_var"].numpy()
        np.testing.assert_allclose(mean, np.mean(means, axis=0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(var, np.mean(variances, axis=0), rtol=1e-4, atol=1e-5)


def test_what_was_there_before_plays_no_part(small_space: ChainSpace) -> None:
    network = Network(small_space, small_space.sample(1, seed=2)[0])
    once = recalibrate(network, [images(8, 0)])
    network.load_state_dict({**network.state_dict(), **recalibrate(network, [images(8, 1) * 100])})
    other = dict(network.named_buffers())
    assert any(not torch.equal(buffer, once[name]) for name, buffer in other.items())
    again = recalibrate(network, [images(8, 0)])
    assert all(torch.equal(buffer, once[name]) for name, buffer in again.items())


def _flags(module: nn.Module) -> list[bool]:
    return [layer.training for layer in module.modules()]


@pytest.mark.parametrize("where", ["nowhere", "inside", "while recalibrating"])
def test_nothing_leaks_into_the_supernet(small_space: ChainSpace, where: str) -> None:
    supernet = Supernet(small_space.inheriting())
    first, other = (tuple(row) for row in small_space.sample(2, seed=3).tolist())
    recalibrate_all = [images(8, 5)]
    with recalibrated(supernet.path(other), partial(supernet, arch=other), recalibrate_all):
        pass
    supernet.train()
    supernet.head.eval()  # flags that differ must come back as they were
    before, flags = state_bytes(supernet), _flags(supernet)

    def forward(x: torch.Tensor) -> torch.Tensor:
        result = supernet(x, first)
        if where == "while recalibrating":
            raise RuntimeError("a fault")
        return result

    def use() -> None:
        with recalibrated(supernet.path(first), forward, [images(8, 0), images(8, 1)]):
            assert state_bytes(supernet) != before
            assert not any(layer.training for module in supernet.path(first) for layer in module.modules())
            if where == "inside":
                raise RuntimeError("a fault")

    if where == "nowhere":
        use()
    else:
        with pytest.raises(RuntimeError, match="a fault"):
            use()
    assert state_bytes(supernet) == before
    assert _flags(supernet) == flags
    assert {m.momentum for m in supernet.modules() if isinstance(m, nn.BatchNorm2d)} == {0.1}


def test_training_goes_on_after_a_recalibration(small_space: ChainSpace) -> None:
    supernet = Supernet(small_space.inheriting()).train()
    arch = tuple(small_space.sample(1, seed=3)[0].tolist())
    with recalibrated(supernet.path(arch), partial(supernet, arch=arch), [images(8, 0)]):
        pass
    supernet(images(8, 1), arch).sum().backward()  # fails if a buffer had become an inference tensor
    assert supernet.get_parameter("stem.conv.0.weight").grad is not None


def test_no_batch_is_an_error(small_space: ChainSpace) -> None:
    network = Network(small_space, small_space.sample(1, seed=0)[0])
    with pytest.raises(DataError, match="at least one batch"):
        recalibrate(network, [])
