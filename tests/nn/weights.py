"""What a supernet holds, and weights as after training."""

from __future__ import annotations

import torch
from torch import nn

from hwnas.nn.supernet import Supernet


def stabilizers_of(supernet: Supernet) -> list[nn.Module]:
    """The modules of a supernet's skips that have weights."""
    layers = zip(supernet.space.layers, supernet.layers, strict=True)
    found = [block for ops, blocks in layers for op, block in zip(ops, blocks.children(), strict=True) if op.skips]
    return [block for block in found if list(block.parameters())] if supernet.space.inherits else []


def lived_in(supernet: Supernet, seed: int = 0) -> Supernet:
    """As after training: BN statistics and affine parameters, stabilizers and ends of branches that aren't trivial."""
    generator = torch.Generator().manual_seed(seed)
    skips = set(stabilizers_of(supernet))
    with torch.no_grad():
        for layer in supernet.modules():
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.running_mean is not None
                assert layer.running_var is not None
                layer.running_mean.normal_(0, 0.3, generator=generator)
                layer.running_var.uniform_(0.3, 3, generator=generator)
                layer.weight.normal_(1, 0.2, generator=generator)
                layer.bias.normal_(0, 0.2, generator=generator)
            elif isinstance(layer, nn.LayerNorm):
                layer.weight.normal_(1, 0.2, generator=generator)
                layer.bias.normal_(0, 0.2, generator=generator)
            elif isinstance(layer, nn.Linear) and not layer.weight.any():
                layer.weight.normal_(0, 0.1, generator=generator)
            elif layer in skips:
                assert isinstance(layer, nn.Conv2d)
                layer.weight += 0.3 * torch.randn(layer.weight.shape, generator=generator)
    return supernet.eval()
