from __future__ import annotations

import gc
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from hwnas.errors import ConfigError
from hwnas.evaluation.batchnorm import norms_of, recalibrated
from hwnas.evaluation.prefixes import End, SharedPaths
from hwnas.nn.supernet import Supernet
from hwnas.space.chain import ChainSpace
from tests.spaces import keeping
from tests.training.training_cases import state_bytes

BATCH = 8
RECALIBRATION = [torch.randn(BATCH, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
IMAGES = [torch.randn(n, 3, 16, 16, generator=torch.Generator().manual_seed(2 + n)) for n in (BATCH, 5)]

Rows = list[tuple[int, ...]]
Logits = dict[tuple[int, int], torch.Tensor]
"""(index of the arch, number of the batch) -> (N, classes)"""


def shaken(supernet: Supernet) -> Supernet:
    """Random weights everywhere, so that no choice is an identity by chance."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.normal_(0, 0.3, generator=generator)
    return supernet


@pytest.fixture(params=[True, False], ids=["stabilizers", "plain skips"])
def supernet(small_space: ChainSpace, request: pytest.FixtureRequest) -> Supernet:
    return shaken(Supernet(keeping(small_space, request.param)))


def distinct(archs: np.ndarray) -> Rows:
    return [tuple(row) for row in np.unique(archs, axis=0).tolist()]


def related(space: ChainSpace, count: int, seed: int) -> Rows:
    """Archs with common beginnings, as in an evolved population."""
    rng = np.random.default_rng(seed)
    archs = space.sample(3, rng)[rng.integers(0, 3, count)]
    changed = rng.random(archs.shape) < 0.3
    return distinct(np.where(changed, space.sample(count, rng), archs))


def ignored(arch: int, logits: torch.Tensor) -> None:
    pass


def shared(paths: SharedPaths, rows: Rows) -> Logits:
    found: Logits = {}

    def keep(batch: int, arch: int, logits: torch.Tensor) -> None:
        assert (arch, batch) not in found
        found[arch, batch] = logits.clone()

    def images() -> Iterator[tuple[torch.Tensor, End]]:
        for batch, x_NCHW in enumerate(IMAGES):
            yield x_NCHW.clone(), partial(keep, batch)

    paths.run(rows, lambda: ((x_NCHW.clone(), ignored) for x_NCHW in RECALIBRATION), images)
    return found


def one_by_one(supernet: Supernet, rows: Rows) -> Logits:
    found = {}
    for index, arch in enumerate(rows):
        forward = partial(supernet, arch=arch)
        with recalibrated(supernet.path(arch), forward, (x.clone() for x in RECALIBRATION)), torch.inference_mode():
            for batch, x_NCHW in enumerate(IMAGES):
                found[index, batch] = forward(x_NCHW.clone())
    return found


def assert_same(found: Logits, expected: Logits) -> None:
    assert found.keys() == expected.keys()
    for key, logits in expected.items():
        assert torch.equal(found[key], logits), key


def least_bytes(supernet: Supernet) -> int:
    """Of statistics of the path that has most of them."""
    groups = [[supernet.stem], *(list(choices.children()) for choices in supernet.layers), [supernet.head]]
    return sum(max(statistics_bytes(module) for module in choices) for choices in groups)


def statistics_bytes(module: nn.Module) -> int:
    return sum(b.nbytes for norm in norms_of([module]) for b in norm.buffers())


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 8), spare=st.integers(0, 150_000))
def test_the_same_to_the_bit_as_one_by_one_in_any_memory(supernet: Supernet, seed: int, count: int, spare: int) -> None:
    rows = related(supernet.space, count, seed)
    limit_bytes = least_bytes(supernet) + spare
    paths = SharedPaths(supernet, BATCH, limit_bytes)
    assert_same(shared(paths, rows), one_by_one(supernet, rows))
    assert 0 < paths.peak_bytes <= limit_bytes


def test_all_skips_and_neighbours_of_them(supernet: Supernet) -> None:
    skips = supernet.space.num_choices - 1
    rows = distinct(np.array([skips, [*skips[:-1], 0], [0, *skips[1:]]]))
    assert_same(shared(SharedPaths(supernet, BATCH), rows), one_by_one(supernet, rows))


def count_calls(supernet: Supernet, paths: SharedPaths, rows: Rows) -> int:
    """How many modules of paths run."""
    modules = [supernet.stem, *(m for choices in supernet.layers for m in choices.children()), supernet.head]
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    hooks = [module.register_forward_hook(count) for module in modules]
    shared(paths, rows)
    for hook in hooks:
        hook.remove()
    return calls


def test_each_distinct_prefix_runs_once_a_batch_and_less_memory_costs_more_work(supernet: Supernet) -> None:
    rows = related(supernet.space, 30, seed=0)
    prefixes = sum(len({row[:depth] for row in rows}) for depth in range(len(rows[0]) + 1)) + len(rows)
    batches = len(RECALIBRATION) + len(IMAGES)
    least = least_bytes(supernet)
    work = [count_calls(supernet, SharedPaths(supernet, BATCH, b), rows) for b in (2**30, 10 * least, 5 * least, least)]
    assert work[0] == prefixes * batches
    assert work[0] < work[1] < work[2] < work[3]
    assert work[3] == len(rows) * len(supernet.path(rows[0])) * batches


def test_what_is_kept_for_two_archs(small_space: ChainSpace) -> None:
    """Statistics of each module that runs, and the one output where they fork."""
    supernet = shaken(Supernet(small_space.inheriting()))
    first, second = (0, 1, 2, 3, 0, 1), (0, 1, 3, 3, 0, 1)  # layer 2 has the input that layer 1 puts out
    paths = SharedPaths(supernet, BATCH)
    shared(paths, [first, second])
    modules = [*supernet.path(first), *supernet.path(second)[3:]]
    output = BATCH * int(np.prod(small_space.layers[1][1].out_shape)) * 4
    assert paths.peak_bytes == sum(map(statistics_bytes, modules)) + output


@pytest.mark.parametrize("factor", [1, 5, 10, 1000])
def test_no_more_is_kept_than_is_said(supernet: Supernet, factor: int) -> None:
    """What Python holds of tensors at the end of each path, against the limit."""
    rows = related(supernet.space, 12, seed=3)
    limit_bytes = factor * least_bytes(supernet)
    paths = SharedPaths(supernet, BATCH, limit_bytes)
    held_bytes = []

    def weigh(arch: int, logits: torch.Tensor) -> None:
        held = {t.data_ptr(): t.nbytes for t in gc.get_objects() if type(t) is torch.Tensor}
        held_bytes.append(sum(held.values()) - logits.nbytes)

    gc.freeze()  # get_objects() passes over all that is there already
    try:
        paths.run(
            rows,
            lambda: ((x_NCHW, weigh) for x_NCHW in RECALIBRATION),
            lambda: ((x_NCHW, weigh) for x_NCHW in IMAGES),
        )
    finally:
        gc.unfreeze()
    assert len(held_bytes) == len(rows) * 4
    batch_bytes = RECALIBRATION[0].nbytes  # a copy of the batch itself isn't counted
    assert max(held_bytes) <= limit_bytes + batch_bytes
    assert max(held_bytes) <= paths.peak_bytes + batch_bytes
    assert max(held_bytes) >= paths.peak_bytes / 2  # they were found


class _InPlace(nn.Module):
    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return x_NCHW.mul_(0.9).add_(0.1)


def test_modules_may_work_in_place(small_space: ChainSpace) -> None:
    supernet = shaken(Supernet(small_space.inheriting()))
    for choices in supernet.layers[:-1]:
        choices[1] = nn.Sequential(_InPlace(), choices[1])
    rows = distinct(np.array([[a, b, c, 4, 1, 1] for a in (0, 1, 4) for b in (1, 4) for c in (0, 1)]))
    assert_same(shared(SharedPaths(supernet, BATCH), rows), one_by_one(supernet, rows))


class _Stop(BaseException):
    pass


@pytest.mark.parametrize("stage", ["recalibration", "images", "nowhere"])
@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt, _Stop])
def test_the_supernet_comes_back_unchanged(small_space: ChainSpace, stage: str, fault: type[BaseException]) -> None:
    supernet = shaken(Supernet(small_space.inheriting())).train()
    supernet.head.eval()  # flags that differ must come back as they were
    supernet.layers[0][0].bn1.momentum = 0.3
    before = state_bytes(supernet)
    flags = [layer.training for layer in supernet.modules()]
    momenta = [norm.momentum for norm in norms_of([supernet])]
    buffers = [id(buffer) for buffer in supernet.buffers()]
    left = 5

    def fail(arch: int, logits: torch.Tensor) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise fault

    ends = {"recalibration": ignored, "images": ignored, stage: fail if stage != "nowhere" else ignored}
    rows = related(small_space, 6, seed=1)

    def run() -> None:
        SharedPaths(supernet, BATCH).run(
            rows,
            lambda: ((x_NCHW, ends["recalibration"]) for x_NCHW in RECALIBRATION),
            lambda: ((x_NCHW, ends["images"]) for x_NCHW in IMAGES),
        )

    if stage == "nowhere":
        run()
    else:
        with pytest.raises(fault):
            run()
        assert left == 0
    assert state_bytes(supernet) == before
    assert [layer.training for layer in supernet.modules()] == flags
    assert [norm.momentum for norm in norms_of([supernet])] == momenta
    assert [id(buffer) for buffer in supernet.buffers()] == buffers
    supernet(RECALIBRATION[0], rows[0]).sum().backward()  # fails if a buffer had become an inference tensor


def test_too_little_memory_is_refused(supernet: Supernet) -> None:
    with pytest.raises(ConfigError, match="memory_limit_bytes is 1000, but the BN statistics"):
        SharedPaths(supernet, BATCH, 1000)


def test_no_arch_at_all(supernet: Supernet) -> None:
    assert shared(SharedPaths(supernet, BATCH), []) == {}
