"""Folding a stabilizer's weights into those of a neighbour; :mod:`hwnas.graph.foldable` says which may take them.

A stabilizer is linear, so next to another linear layer it adds no capacity: ``W·(S·x) = (W·S)·x``. The products are in
float64.
"""

from __future__ import annotations

import torch
from torch import nn


def matrix(conv: nn.Conv2d) -> torch.Tensor:
    """The (c_out, c_in) matrix of a 1×1 convolution, in float64."""
    return conv.weight.detach()[:, :, 0, 0].double()


@torch.no_grad()
def fold_before(stabilizer: torch.Tensor, conv: nn.Conv2d) -> None:
    """Fold a stabilizer matrix (c, c) into the 1×1 convolution that follows it.

    What the convolution puts out is unchanged, so the BN behind it stays right in training as well.
    """
    conv.weight.copy_((matrix(conv) @ stabilizer)[:, :, None, None])


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
    conv.weight.copy_((scaled @ matrix(conv))[:, :, None, None])
    bn.bias.copy_(stabilizer @ bn.bias.double())
    bn.weight.copy_((new_variance + bn.eps).sqrt())
    bn.running_mean.copy_(scaled @ mean)
    bn.running_var.copy_(new_variance)
