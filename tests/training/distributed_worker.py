"""One process of a distributed training: ``python -m tests.training.distributed_worker CASE FOLDER``.

The environment says which, as torchrun sets it. Errors of hwnas end as the command line ends them.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import cross_entropy

from hwnas.errors import ConfigError, HwnasError, TrainingError
from hwnas.nn.supernet import Supernet
from hwnas.space.registry import get_space
from hwnas.training.distributed import World, joined
from hwnas.training.synced_batchnorm import SyncedBatchNorm2d, synchronise_batchnorm

BATCH, PATHS = 12, 3


def supernet_and_archs(space_yaml: Path, seed: int = 0) -> tuple[Supernet, list[tuple[int, ...]]]:
    """A float64 supernet that no BN scale of zero makes trivial, and paths that share no choice: a fair update."""
    space = get_space(str(space_yaml))
    supernet = Supernet(space.inheriting(), seed=seed).double().train().to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    archs = [tuple((path + layer) % len(ops) for layer, ops in enumerate(space.layers)) for path in range(PATHS)]
    return supernet, archs


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """x_NCHW float64 whose images differ a lot from one another, and labels."""
    generator = torch.Generator().manual_seed(2)
    x_NCHW = torch.randn(BATCH, 3, 16, 16, generator=generator, dtype=torch.float64)
    return x_NCHW * torch.arange(1, BATCH + 1).view(-1, 1, 1, 1), torch.arange(BATCH) % 10


def accumulate(supernet: Supernet, archs: list[tuple[int, ...]], x_NCHW: torch.Tensor, labels: torch.Tensor) -> None:
    """The gradients of all paths, summed."""
    for arch in archs:
        cross_entropy(supernet(x_NCHW, arch), labels).backward()


def gradients(module: nn.Module) -> dict[str, torch.Tensor]:
    """By name, of the parameters that have one."""
    return {name: p.grad.contiguous() for name, p in module.named_parameters() if p.grad is not None}


def statistics(module: nn.Module) -> dict[str, torch.Tensor]:
    """Buffers by name."""
    return {name: buffer.clone() for name, buffer in module.named_buffers()}


def _expect(kind: type[Exception], words: str, run: Callable[[], object]) -> None:
    with pytest.raises(kind, match=words):
        run()


def update(world: World, folder: Path) -> None:
    """A fair update's gradients and BN statistics, with and without synced BN; from other weights, broadcast."""
    for synced in (True, False):
        # other weights on each process until the main one's are broadcast
        supernet, archs = supernet_and_archs(folder / "space.yaml", seed=world.rank)
        world.broadcast(supernet.state_dict().values())
        if synced:
            synchronise_batchnorm(supernet)
        x_NCHW, labels = batch()
        own = slice(world.rank * BATCH // world.size, (world.rank + 1) * BATCH // world.size)
        accumulate(supernet, archs, x_NCHW[own], labels[own])
        world.average_gradients(supernet.parameters())
        name = f"{'synced' if synced else 'unsynced'}-{world.rank}.safetensors"
        save_file(gradients(supernet) | statistics(supernet), folder / name)


def agreement(world: World, folder: Path) -> None:
    """Processes that agree go on; ones that don't all raise, and could go on afterwards."""
    assert world.size == 2
    assert world.mean([float(world.rank), 3.0]) == [0.5, 3.0]
    nan, three = world.mean([float("nan") if world.is_main else 0.0, 3.0])
    assert (nan != nan, three) == (True, 3.0)
    world.check_same("the configuration", "batch: 8")
    _expect(
        ConfigError, "the data of process 1 isn't that of process 0",
        lambda: world.check_same("the data", f"{world.rank} images"),
    )  # fmt: skip
    parameters = [nn.Parameter(torch.zeros(2)) for _ in range(3)]
    parameters[world.rank].grad = torch.ones(2)
    _expect(TrainingError, "process 1 trained other paths than process 0", lambda: world.average_gradients(parameters))
    assert parameters[world.rank].grad.tolist() == [1, 1]  # nothing was mixed
    # several dtypes, more than a bucket, a tensor larger than one
    sizes = [
        (2**22, torch.float32),
        (3, torch.float64),
        (2**22, torch.float32),
        (2**23, torch.float32),
        (0, torch.float32),
    ]
    parameters = [nn.Parameter(torch.zeros(size, dtype=dtype)) for size, dtype in sizes]
    for number, parameter in enumerate(parameters):
        parameter.grad = torch.full_like(parameter, number + 4.0 * world.rank)
    world.average_gradients([*parameters, nn.Parameter(torch.zeros(1))])
    for number, parameter in enumerate(parameters):
        assert (parameter.grad == number + 2).all(), number
    world.wait()


def batchnorm(world: World, folder: Path) -> None:
    """Synced BN against ``nn.BatchNorm2d`` on the whole batch; both processes draw the same examples."""

    @settings(max_examples=40, derandomize=True, database=None, deadline=None)
    @given(
        own=st.tuples(st.integers(1, 4), st.integers(1, 4)),
        channels=st.integers(1, 5),
        size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
        momentum=st.sampled_from([None, 0.1, 1.0]),
        offset=st.sampled_from([0.0, 1000.0]),
        dtype=st.sampled_from([torch.bfloat16, torch.float32, torch.float64]),
        channels_last=st.booleans(),
        seed=st.integers(0, 99),
    )
    def check(
        own: tuple[int, int], channels: int, size: tuple[int, int], momentum: float | None, offset: float,
        dtype: torch.dtype, channels_last: bool, seed: int,
    ) -> None:  # fmt: skip
        generator = torch.Generator().manual_seed(seed)
        whole = nn.BatchNorm2d(channels, momentum=momentum).double()
        synced = nn.BatchNorm2d(channels, momentum=momentum).to(torch.promote_types(dtype, torch.float32))
        with torch.no_grad():
            for ours, theirs in zip(synced.parameters(), whole.parameters(), strict=True):
                ours.copy_(theirs.copy_(torch.randn(channels, generator=generator)))
        synchronise_batchnorm(synced)
        assert type(synced) is SyncedBatchNorm2d
        first = world.rank * own[0]
        part = slice(first, first + own[world.rank])
        close = True
        # in float32, a mean of 1000 is known to 1e-4 of a spread of 1; in bfloat16 there would be no spread
        tolerance = {torch.bfloat16: 5e-2, torch.float32: 1e-2 if offset else 1e-4, torch.float64: 1e-9}[dtype]
        offset = 0.0 if dtype == torch.bfloat16 else offset
        for _ in range(2):  # statistics run on over steps
            x, dy = (torch.randn(sum(own), channels, *size, generator=generator).to(dtype) for _ in range(2))
            x = (x * torch.arange(1, channels + 1).view(-1, 1, 1) + offset).to(dtype).double().requires_grad_()
            y = whole(x)
            for parameter in [*whole.parameters(), *synced.parameters()]:
                parameter.grad = None
            y.backward(dy.double())
            x_own = x.detach()[part].to(dtype)
            if channels_last:
                x_own = x_own.contiguous(memory_format=torch.channels_last)
            x_own.requires_grad_()
            y_own = synced(x_own)
            y_own.backward(dy[part])
            world.average_gradients(synced.parameters())
            both = list(zip(synced.parameters(), whole.parameters(), strict=True))
            pairs = [
                (y_own, y[part]),
                (x_own.grad, x.grad[part]),
                *((2 * ours.grad, theirs.grad) for ours, theirs in both),
                *zip(synced.buffers(), whole.buffers(), strict=True),
            ]
            close &= all(torch.allclose(a.double(), b.double(), rtol=tolerance, atol=tolerance) for a, b in pairs)
            close &= y_own.dtype == x_own.grad.dtype == dtype
        # what one process finds, both must raise: else they'd go on to different examples and wait for each other
        assert world.mean([float(close)]) == [1.0], [(a - b).abs().max().item() for a, b in pairs]

    check()
    _batchnorm_alone(world)


def _batchnorm_alone(world: World) -> None:
    """Eval mode and forwards without gradients exchange nothing: one process does them alone, as the plain layer."""
    if not world.is_main:
        return
    plain, synced = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    synchronise_batchnorm(synced)
    x_NCHW = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(plain(x_NCHW), synced(x_NCHW))
    assert torch.equal(plain.eval()(x_NCHW), synced.eval()(x_NCHW))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(synced.buffers(), plain.buffers(), strict=True))


def _exchange_for_ever(world: World, at_third: Callable[[], object]) -> None:
    """Updates without end; the last process does ``at_third`` before its third one."""
    parameter = nn.Parameter(torch.zeros(1000))
    parameter.grad = torch.ones(1000)
    for step in range(10**9):
        if step == 2 and world.rank == world.size - 1:
            print("now", flush=True)
            at_third()
        world.average_gradients([parameter])


def killed(world: World, folder: Path) -> None:
    """One process is killed."""
    _exchange_for_ever(world, lambda: os.kill(os.getpid(), signal.SIGKILL))


def hanging(world: World, folder: Path) -> None:
    """One process doesn't answer."""
    _exchange_for_ever(world, lambda: time.sleep(600))


def faulty(world: World, folder: Path) -> None:
    """One process has a fault of the code, which isn't to be taken for one of the connection."""

    def fault() -> None:
        raise RuntimeError("a fault of the code")

    _exchange_for_ever(world, fault)


def together(world: World, folder: Path) -> None:
    """All that two processes do where neither does anything wrong: to start them takes longer."""
    for case in (update, agreement, batchnorm):
        case(world, folder)


CASES = {case.__name__: case for case in (together, agreement, killed, hanging, faulty)}


def main(case: str, folder: str, timeout_seconds: str) -> None:
    """Run a case."""
    torch.set_num_threads(1)
    try:
        with joined("cpu", float(timeout_seconds)) as world:
            CASES[case](world, Path(folder))
    except HwnasError as error:
        print(f"hwnas: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    finally:
        assert not dist.is_initialized()


if __name__ == "__main__":
    main(*sys.argv[1:])
