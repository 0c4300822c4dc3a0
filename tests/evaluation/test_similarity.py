"""Similarities have the values that geometry says, and computing them leaves no trace."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hwnas.data.images import spread
from hwnas.data.load import Data, load_data
from hwnas.errors import CheckpointError, DataError
from hwnas.evaluation.similarity import feature_similarity, mean_similarities
from hwnas.nn.supernet import Supernet
from hwnas.ops.mbconv import MBConv
from hwnas.ops.stabilizer import Stabilizer
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from tests.spaces import keeping
from tests.training.training_cases import state_bytes


@pytest.fixture(scope="module")
def digits() -> Data:
    return load_data("digits", 16)


def noisy(space: ChainSpace, *, stabilizers: bool = True, seed: int = 0) -> Supernet:
    """Every weight random, BN scales and stabilizers included, so that no two choices agree by construction."""
    supernet, generator = Supernet(keeping(space, stabilizers), seed=seed), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return supernet


def residual_layers(space: ChainSpace) -> list[int]:
    return [layer for layer, ops in enumerate(space.layers) if isinstance(ops[-1], Stabilizer)]


def doubled(space: ChainSpace) -> ChainSpace:
    """The space with only the first choice of each layer, twice."""
    return dataclasses.replace(space, layers=tuple((ops[0], ops[0]) for ops in space.layers))


def with_twins(space: ChainSpace, change: Callable[[nn.Module], None]) -> Supernet:
    """A supernet of two choices with the same weights, the second then changed."""
    supernet = noisy(doubled(space))
    for layer in range(space.num_layers):
        first, second = supernet.block(layer, 0), supernet.block(layer, 1)
        second.load_state_dict(first.state_dict())
        with torch.no_grad():
            change(second)
    return supernet


def negate(block: nn.Module) -> None:
    norm = block.get_submodule("bn3")
    assert isinstance(norm, nn.BatchNorm2d)
    norm.weight.neg_()
    norm.bias.neg_()


def test_choices_with_the_same_weights_have_similarity_1(small_space: ChainSpace, digits: Data) -> None:
    supernet = with_twins(small_space, lambda block: None)
    for similarity in feature_similarity(supernet, digits, images=20, prefixes=2):
        np.testing.assert_allclose(similarity, np.ones((2, 2)), atol=1e-12)


def test_a_block_of_the_other_sign_has_similarity_minus_1(small_space: ChainSpace, digits: Data) -> None:
    found = feature_similarity(with_twins(small_space, negate), digits, images=20, prefixes=2)
    plain = [layer for layer, (op, _) in enumerate(doubled(small_space).layers) if not op.residual]
    assert plain
    for layer, similarity in enumerate(found):
        if layer in plain:
            np.testing.assert_allclose(similarity, [[1, -1], [-1, 1]], atol=1e-12)
        else:  # x + f(x) against x - f(x)
            assert -0.99 < similarity[0, 1] < 0.99


@pytest.mark.parametrize("stabilizers", [True, False])
def test_fresh_residual_blocks_are_all_like_the_skip(small_space: ChainSpace, digits: Data, stabilizers: bool) -> None:
    found = feature_similarity(Supernet(keeping(small_space, stabilizers)), digits, images=20, prefixes=2)
    residual = residual_layers(small_space)
    assert 0 < len(residual) < small_space.num_layers
    for layer, similarity in enumerate(found):
        if layer in residual:
            np.testing.assert_allclose(similarity, 1, atol=1e-12)
        else:
            off_diagonal = similarity[~np.eye(len(similarity), dtype=bool)]
            assert (np.abs(off_diagonal) < 0.95).all()


@pytest.mark.parametrize("degrees", [0, 30, 90, 135, 180])
def test_a_skip_that_turns_its_input_has_the_angle_s_cosine(
    small_space: ChainSpace, digits: Data, degrees: int
) -> None:
    """Channels turned in pairs, and stretched: every feature map turns by that angle, its length doesn't count."""
    supernet = Supernet(small_space.inheriting())  # residual blocks pass their input on
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    for layer in residual_layers(small_space):
        skip = supernet.block(layer, -1 % len(small_space.layers[layer]))
        assert isinstance(skip, nn.Conv2d)
        turned = torch.block_diag(*[torch.tensor([[c, -s], [s, c]])] * (skip.in_channels // 2))
        with torch.no_grad():
            skip.weight.copy_(3 * turned[:, :, None, None])
    found = feature_similarity(supernet, digits, images=20, prefixes=3)
    for layer in residual_layers(small_space):
        np.testing.assert_allclose(found[layer][-1, :-1], c, atol=1e-6)
        np.testing.assert_allclose(found[layer][:-1, :-1], 1, atol=1e-12)


def slow_similarity(supernet: Supernet, data: Data, images: torch.Tensor, archs: np.ndarray) -> list[np.ndarray]:
    """The definition, pair by pair and image by image, each path walked from its beginning in training mode."""
    supernet = copy.deepcopy(supernet).train()
    x_NCHW = data.normalize(data.validation.pixels(images))
    found = []
    for layer, ops in enumerate(supernet.space.layers):
        mean = np.zeros((len(ops), len(ops)))
        for arch in archs.tolist():
            outputs = []
            for choice in range(len(ops)):
                y = x_NCHW
                for module in supernet.path([*arch[:layer], choice, *arch[layer + 1 :]])[: layer + 2]:
                    y = module(y)
                outputs.append(y.detach().numpy().astype(np.float64))
            for i, a in enumerate(outputs):
                for j, b in enumerate(outputs):
                    cosines = [np.vdot(p, q) / np.linalg.norm(p) / np.linalg.norm(q) for p, q in zip(a, b, strict=True)]
                    mean[i, j] += np.mean(cosines) / len(archs)
        found.append(mean)
    return found


@pytest.mark.parametrize("stabilizers", [True, False])
def test_agrees_with_the_definition(small_space: ChainSpace, digits: Data, stabilizers: bool) -> None:
    supernet = noisy(small_space, stabilizers=stabilizers)
    found = feature_similarity(supernet, digits, images=12, prefixes=3, seed=5)
    images = spread(len(digits.validation.labels), 12)
    expected = slow_similarity(supernet, digits, images, small_space.sample(3, 5))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_images_count_alike_in_batches_of_any_size(small_space: ChainSpace) -> None:
    """At 64 px the 143 validation images are three batches, each normalised on its own."""
    data, supernet = load_data("digits", 64), noisy(get_space(small_space.source, 64))
    parts = torch.arange(len(data.validation.labels)).tensor_split(3)
    assert {len(part) for part in parts} == {47, 48}
    apart = [
        feature_similarity(supernet, dataclasses.replace(data, validation=data.validation.take(part)), prefixes=1)
        for part in parts
    ]
    together = feature_similarity(supernet, data, prefixes=1)
    for layer, similarity in enumerate(together):
        expected = np.average([found[layer] for found in apart], axis=0, weights=[len(part) for part in parts])
        np.testing.assert_allclose(similarity, expected, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), images=st.integers(2, 9), prefixes=st.integers(1, 3))
def test_always_a_matrix_of_cosines(seed: int, images: int, prefixes: int) -> None:
    space, data = get_space("macro-w2", 16), load_data("digits", 16)
    found = feature_similarity(noisy(space, seed=seed % 1000), data, images=images, prefixes=prefixes, seed=seed)
    assert [len(similarity) for similarity in found] == space.num_choices.tolist()
    for similarity in found:
        assert similarity.dtype == np.float64
        assert (np.abs(similarity) <= 1).all()
        assert (similarity == similarity.T).all()
        assert (np.diag(similarity) == 1).all()
        assert np.linalg.eigvalsh(similarity).min() > -1e-9  # a mean of Gram matrices


@pytest.mark.parametrize("training", [True, False])
def test_the_supernet_stays_as_it_was(small_space: ChainSpace, digits: Data, training: bool) -> None:
    supernet = noisy(small_space).train(training)
    supernet.head.train(not training)  # a mixture is kept as well
    before = state_bytes(supernet), [(m.training, getattr(m, "track_running_stats", 0)) for m in supernet.modules()]
    feature_similarity(supernet, digits, images=8, prefixes=2)
    after = state_bytes(supernet), [(m.training, getattr(m, "track_running_stats", 0)) for m in supernet.modules()]
    assert after == before
    assert all(parameter.grad is None for parameter in supernet.parameters())


def test_running_statistics_have_no_say(small_space: ChainSpace, digits: Data) -> None:
    supernet = noisy(small_space).eval()
    before = feature_similarity(supernet, digits, images=8, prefixes=2)
    for name, buffer in supernet.named_buffers():
        if "running" in name:
            buffer.fill_(7)
    after = feature_similarity(supernet, digits, images=8, prefixes=2)
    assert all((a == b).all() for a, b in zip(before, after, strict=True))


def test_the_seed_decides_the_prefixes(small_space: ChainSpace, digits: Data) -> None:
    supernet = noisy(small_space)
    first, again, other = (feature_similarity(supernet, digits, images=8, prefixes=2, seed=s) for s in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert (first[0] == other[0]).all()  # in front of the first layer there is nothing to choose
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_takes_all_images_where_more_are_asked_for(small_space: ChainSpace, digits: Data) -> None:
    supernet, few = noisy(small_space), dataclasses.replace(digits, validation=digits.validation.take(torch.arange(7)))
    exact, more = (feature_similarity(supernet, few, images=n, prefixes=1) for n in (7, 10_000))
    assert all((a == b).all() for a, b in zip(exact, more, strict=True))


def test_one_image_is_too_few(small_space: ChainSpace, digits: Data) -> None:
    one = dataclasses.replace(digits, validation=digits.validation.take(torch.arange(1)))
    with pytest.raises(DataError, match="digits has 1 validation images"):
        feature_similarity(Supernet(small_space.inheriting()), one)


def test_an_output_that_is_not_finite_is_named_and_the_supernet_stays(small_space: ChainSpace, digits: Data) -> None:
    supernet = noisy(small_space).eval()
    with torch.no_grad():
        supernet.get_parameter("layers.3.0.conv3.weight")[0] = math.nan
    before = state_bytes(supernet)
    with pytest.raises(CheckpointError, match="layer 3 "):
        feature_similarity(supernet, digits, images=8, prefixes=1)
    assert state_bytes(supernet) == before
    assert not any(module.training for module in supernet.modules())


def test_a_choice_that_puts_out_zeros_is_like_no_other(small_space: ChainSpace, digits: Data) -> None:
    supernet = noisy(small_space)
    with torch.no_grad():
        supernet.block(0, len(small_space.layers[0]) - 1).weight.zero_()  # type: ignore[union-attr,operator]
    similarity = feature_similarity(supernet, digits, images=8, prefixes=1)[0]
    assert similarity[-1].tolist() == [0] * (len(similarity) - 1) + [1]


def test_progress_counts_prefixes(small_space: ChainSpace, digits: Data) -> None:
    seen: list[tuple[int, int]] = []
    feature_similarity(
        Supernet(small_space.inheriting()),
        digits,
        images=4,
        prefixes=3,
        progress=lambda what, done, total, note: seen.append((done, total)),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_means_of_skip_and_blocks() -> None:
    block = MBConv(c_in=8, h_in=4, w_in=4, c_out=8, kernel=3, stride=1, expansion=3, se=False, act="relu")
    skip = Stabilizer(c_in=8, h_in=4, w_in=4, c_out=8)
    similarity = np.array([[1, 0.5, 0.25], [0.5, 1, -0.75], [0.25, -0.75, 1]])
    assert mean_similarities(similarity, [block, block, skip]) == (-0.25, 0.5)
    assert mean_similarities(similarity, [skip, block, block]) == (0.375, -0.75)
    assert mean_similarities(similarity, [block, block, block]) == (None, 0.0)
    assert mean_similarities(similarity[:2, :2], [block, skip]) == (0.5, None)
    assert mean_similarities(similarity[:1, :1], [block]) == (None, None)


def test_choices_have_names() -> None:
    named = [[op.short for op in get_space(name).layers[1]] for name in ("scarlet-s2", "macro")]
    assert named[0][:4] == ["k3 e3", "k3 e3 se", "k3 e6", "k3 e6 se"]
    assert named[0][-1] == "skip"
    assert named[1] == ["skip", "k3 e3", "k5 e6"]
    assert get_space("macro").layers[0][0].short == "downsample"
