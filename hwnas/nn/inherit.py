"""A supernet's path -> a standalone network with the weights it inherits, stabilizers folded where that is exact.

A stabilizer is linear, so next to another linear layer it adds no capacity: ``W·(S·x) = (W·S)·x``. The two fold
functions below do that product in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from hwnas.graph.foldable import entry_of, exit_of
from hwnas.graph.graph import Op
from hwnas.nn.network import Network
from hwnas.nn.supernet import Supernet
from hwnas.records.model import ResolvedStabilizers
from hwnas.space.arch import Arch
from hwnas.space.chain import ChainSpace


def inherit(supernet: Supernet, arch: Arch | Sequence[int]) -> Network:
    """``arch``'s standalone network with the supernet's weights, stabilizers resolved.

    In eval mode it computes what ``supernet(x, arch)`` does. Neighbouring stabilizers multiply together; the
    product folds into the block behind or before where that is exact, else it stays as a 1×1 convolution.
    ``network.stabilizers`` says which happened.

    Raises:
        ArchError: not an arch of the supernet's space.
    """
    space = supernet.space
    network = Network(space, arch)
    network.to(next(supernet.parameters()))  # same device and precision
    for place, block in zip(supernet.places(network.choices), supernet.path(network.choices), strict=True):
        if place in network.graph:
            network.get_submodule(place).load_state_dict(block.state_dict())
    if space.inherits:
        network.stabilizers = tuple(_resolve(network, supernet, run) for run in _runs_of_skips(space, network.choices))
    return network


def _runs_of_skips(space: ChainSpace, choices: tuple[int, ...]) -> list[list[int]]:
    runs: list[list[int]] = []
    for layer, choice in enumerate(choices):
        if space.layers[layer][choice].skips:
            if runs and runs[-1][-1] == layer - 1:
                runs[-1].append(layer)
            else:
                runs.append([layer])
    return runs


def _resolve(network: Network, supernet: Supernet, run: list[int]) -> ResolvedStabilizers:
    """Put one run of stabilizers, multiplied together, where it belongs."""
    product, *others = (_matrix(supernet.block(layer, network.choices[layer])) for layer in run)
    for later in others:
        product = later @ product
    kept = f"layers.{run[0]}"
    if kept in network.graph:
        stabilizer = network.get_submodule(kept)
        assert isinstance(stabilizer, nn.Conv2d)
        with torch.no_grad():
            stabilizer.weight.copy_(product[:, :, None, None])
        return ResolvedStabilizers(layer=run[0], place=kept, kept=True)
    after, op_after = _neighbour(network, run[-1] + 1)
    if (entry := entry_of(op_after)) is not None:
        conv = network.get_submodule(f"{after}.{entry}")
        assert isinstance(conv, nn.Conv2d)
        fold_before(product, conv)
        return ResolvedStabilizers(layer=run[0], place=after, kept=False)
    before, op_before = _neighbour(network, run[0] - 1)
    found = exit_of(op_before)
    assert found is not None  # else the network would keep the stabilizer
    conv, norm = network.get_submodule(f"{before}.{found.conv}"), network.get_submodule(f"{before}.{found.norm}")
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    fold_after(product, conv, norm)
    return ResolvedStabilizers(layer=run[0], place=before, kept=False)


def _neighbour(network: Network, layer: int) -> tuple[str, Op]:
    """Place and op of a layer that isn't skipped, or of stem or head beyond the ends."""
    place = "stem" if layer < 0 else "head" if layer == network.space.num_layers else f"layers.{layer}"
    return place, network.graph[place]


def _matrix(conv: nn.Module) -> torch.Tensor:
    """The (c_out, c_in) matrix of a 1×1 convolution, in float64."""
    assert isinstance(conv, nn.Conv2d)
    return conv.weight.detach()[:, :, 0, 0].double()


@torch.no_grad()
def fold_before(stabilizer: torch.Tensor, conv: nn.Conv2d) -> None:
    """Fold a stabilizer matrix (c, c) into the 1×1 convolution that follows it.

    What the convolution puts out is unchanged, so the BN behind it stays right in training as well.
    """
    conv.weight.copy_((_matrix(conv) @ stabilizer)[:, :, None, None])


@torch.no_grad()
def fold_after(stabilizer: torch.Tensor, conv: nn.Conv2d, bn: nn.BatchNorm2d) -> None:
    """Fold a stabilizer matrix (c, c) into the 1×1 convolution and BN before it: S·BN(W·x) = BN'(W'·x).

    Exact with BN's running statistics. W' takes S and BN's scale. BN' keeps a variance of the right size
    (exact if the channels of W·x are uncorrelated), so that training can go on from here.
    """
    assert bn.running_mean is not None
    assert bn.running_var is not None
    mean, variance = bn.running_mean.double(), bn.running_var.double()
    scaled = stabilizer * (bn.weight.double() / (variance + bn.eps).sqrt())  # S·diag(γ/σ)
    new_variance = scaled.square() @ variance
    conv.weight.copy_((scaled @ _matrix(conv))[:, :, None, None])
    bn.bias.copy_(stabilizer @ bn.bias.double())
    bn.weight.copy_((new_variance + bn.eps).sqrt())
    bn.running_mean.copy_(scaled @ mean)
    bn.running_var.copy_(new_variance)
