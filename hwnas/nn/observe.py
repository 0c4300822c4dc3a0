"""Runs a network in PyTorch and sees every value on the way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from hwnas.arrays import Images
from hwnas.graph.primitives import Primitive
from hwnas.nn.layers import GraphModule, layer
from hwnas.onnx.observe import INPUT, Observation, Observed
from hwnas.onnx.write import onnx_kinds
from hwnas.records.network import INPUT as IMAGES
from hwnas.records.network import OUTPUT


def observe_network(module: GraphModule, batches: Sequence[Images]) -> Observation:
    """Every primitive's value for each batch (N, C, H, W), in eval mode, under the names that its ONNX file has.

    The module's mode is left as it was.
    """
    training = module.training
    module.eval()
    graph, layers = module.graph.expanded, dict(module.named_modules())
    names = {graph.inputs[0]: IMAGES, **{node.place: node.place for node in graph}, graph.outputs[0]: OUTPUT}
    values = {graph.inputs[0]: [torch.from_numpy(images) for images in batches]}
    found = [Observed(IMAGES, IMAGES, INPUT, (), False, np.stack(batches))]
    with torch.inference_mode():
        for place, op, inputs in graph:
            assert isinstance(op, Primitive)
            kept = layers.get(place)
            computes = layer(op) if kept is None or type(kept) is nn.Module else kept  # which alone only holds others
            values[place] = [computes(*parts) for parts in zip(*(values[name] for name in inputs), strict=True)]
            reads, array = tuple(names[name] for name in inputs), torch.stack(values[place]).numpy()
            found.append(Observed(names[place], place, onnx_kinds(op)[-1], reads, place == graph.outputs[0], array))
    module.train(training)
    return tuple(found)
