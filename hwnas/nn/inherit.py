"""A supernet's path -> a standalone network with the weights it inherits, stabilizers folded where that is exact."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import nn

from hwnas.graph.foldable import entry_of, exit_of, is_identity
from hwnas.nn.fold import fold_after, fold_before, matrix
from hwnas.nn.network import Network
from hwnas.nn.supernet import Supernet
from hwnas.records.model import ResolvedStabilizers
from hwnas.space.arch import Arch


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
    places = ["stem", *(f"layers.{layer}" for layer in range(space.num_layers)), "head"]
    blocks = dict(zip(places, supernet.path(network.choices), strict=True))
    for node in network.graph:
        network.get_submodule(node.place).load_state_dict(blocks[node.place].state_dict())
    if space.inherits:
        taken = [space.layers[layer][choice] for layer, choice in enumerate(network.choices)]
        stabilized = [op.skips and not is_identity(op) for op in taken]
        runs = [list(run) for here, run in groupby(range(space.num_layers), stabilized.__getitem__) if here]
        network.stabilizers = tuple(_resolve(network, supernet, run) for run in runs)
    return network


def _resolve(network: Network, supernet: Supernet, run: list[int]) -> ResolvedStabilizers:
    """Put one run of stabilizers, multiplied together, where it belongs."""
    product, *others = (matrix(_conv(supernet, f"layers.{layer}.{network.choices[layer]}")) for layer in run)
    for later in others:
        product = later @ product
    first = f"layers.{run[0]}"
    if kept := first in network.graph:
        with torch.no_grad():
            _conv(network, first).weight.copy_(product[:, :, None, None])
        return ResolvedStabilizers(layer=run[0], place=first, kept=kept)
    after = "head" if run[-1] + 1 == network.space.num_layers else f"layers.{run[-1] + 1}"
    if (entry := entry_of(network.graph[after])) is not None:
        fold_before(product, _conv(network, f"{after}.{entry}"))
        return ResolvedStabilizers(layer=run[0], place=after, kept=kept)
    before = "stem" if run[0] == 0 else f"layers.{run[0] - 1}"
    found = exit_of(network.graph[before])
    assert found is not None  # else the network would keep the stabilizer
    norm = network.get_submodule(f"{before}.{found.norm}")
    assert isinstance(norm, nn.BatchNorm2d)
    fold_after(product, _conv(network, f"{before}.{found.conv}"), norm)
    return ResolvedStabilizers(layer=run[0], place=before, kept=kept)


def _conv(module: nn.Module, place: str) -> nn.Conv2d:
    conv = module.get_submodule(place)
    assert isinstance(conv, nn.Conv2d)
    return conv
