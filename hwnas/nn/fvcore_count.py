"""A second, independent count of a network's multiply-adds: slow, from what it really runs."""

from __future__ import annotations

import warnings

import torch
from fvcore.nn import FlopCountAnalysis

from hwnas.nn.network import Network


def fvcore_madds(network: Network) -> int:
    """Multiply-adds at batch 1 of all convolutions and linear layers, by fvcore's trace of the network."""
    training = network.training
    device = next(network.parameters()).device
    images = torch.zeros(1, *network.graph.in_shapes[0], device=device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's notice that tracing is deprecated
        analysis = FlopCountAnalysis(network.eval(), images)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        by_operator = analysis.by_operator()
    network.train(training)
    return int(by_operator["conv"] + by_operator["linear"])
