"""A checkpoint: what it holds comes back to the bit; a tensor that nothing can go on with is refused by its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from hwnas.errors import CheckpointError
from hwnas.training.checkpoint import Position, load_checkpoint, save_checkpoint
from hwnas.training.optimizer import WeightAverage

Tensors = dict[str, torch.Tensor]
POSITION = Position(fingerprint="f", epoch=2, step=3, threads=1)


def _training(seed: int) -> tuple[nn.Module, torch.optim.Optimizer, WeightAverage]:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(module.parameters())
    average = WeightAverage(module, 0.9)
    module(torch.randn(8, 3)).square().sum().backward()
    optimizer.step()
    return module, optimizer, average


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "c.safetensors", *_training(0), POSITION)
    return tmp_path / "c.safetensors"


def test_all_of_it_comes_back(path: Path, tmp_path: Path) -> None:
    other = _training(1)
    assert load_checkpoint(path, *other, "f") == POSITION
    save_checkpoint(tmp_path / "again", *other, POSITION)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def _change(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.update({name: change(tensors[name])})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_change("weight.0.weight", lambda t: t.to(torch.int8)), "'0.weight' is int8"),
        (_change("weight.1.running_var", lambda t: -t), "'1.running_var' is negative"),
        (_change("average.0.weight", lambda t: t[:2]), r"'average.0.weight' has shape \(2, 3\)"),
        (_change("average.1.running_var", lambda t: t - 9), "'average.1.running_var' is negative"),
        (lambda tensors: tensors.pop("average.0.bias"), "'average.0.bias' is missing or extra"),
        (lambda tensors: tensors.update({"average.x": torch.ones(1)}), "'average.x' is missing or extra"),
        (_change("optimizer.exp_avg.0.weight", lambda t: t.to(torch.complex64)), "exp_avg.0.weight' is complex64"),
        (_change("optimizer.exp_avg.0.weight", lambda t: t / 0), "exp_avg.0.weight' holds a NaN"),
        (_change("optimizer.exp_avg.0.weight", lambda t: t[:2]), r"exp_avg.0.weight' has shape \(2, 3\)"),
        (_change("optimizer.step.0.weight", lambda t: t.bool()), "step.0.weight' is bool"),
        (
            lambda tensors: tensors.update({"optimizer.exp_avg.x": torch.ones(1)}),
            "'optimizer.exp_avg.x' is of no weight",
        ),
        (lambda tensors: tensors.update({"optimizer.": torch.ones(1)}), "'optimizer.' is of no weight"),
    ],
)
def test_an_altered_tensor_is_named(path: Path, change: Callable[[Tensors], None], words: str) -> None:
    with safe_open(path, framework="pt") as file:
        header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, header)
    with pytest.raises(CheckpointError, match=words) as caught:
        load_checkpoint(path, *_training(1), "f")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
