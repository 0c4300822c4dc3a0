"""`typical_networks`: small networks of many families, drawn by seed, that contain what real ones contain.

Each has its family's layers once or twice, not a dozen times: what is asked of them is which kernels a runtime makes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import onnx

from hwnas.onnx.model import OnnxModel, port_of
from hwnas.onnx.typical import attentive, convolutional

_ROUND: tuple[tuple[str, Callable[[np.random.Generator], bytes]], ...] = (
    *(
        (name, partial(convolutional.draw, family))
        for name, family in convolutional.FAMILIES.items()
        for _ in range(family.often)
    ),
    *attentive.FAMILIES.items(),
)


def networks_of_a_round() -> int:
    """After so many networks each family has had its turn."""
    return len(_ROUND)


def typical_network(number: int, seed: int = 0) -> OnnxModel:
    """The network of a number, from 0 on: families take turns, and each network is another one.

    The same number and seed give the same bytes.
    """
    name, draw = _ROUND[number % len(_ROUND)]
    data = draw(np.random.default_rng((seed, number)))
    proto = onnx.load_from_string(data)
    inputs, outputs = (tuple(map(port_of, values)) for values in (proto.graph.input, proto.graph.output))
    return OnnxModel(f"typical/{name.replace(' ', '-')}-{number}", data, inputs, outputs)
