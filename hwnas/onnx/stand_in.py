"""Inputs, and weights, to run a model with whose own aren't at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Port

if TYPE_CHECKING:  # part of profiling kits, where it isn't at hand
    from onnx import ModelProto

_PATTERN = np.random.default_rng(0).standard_normal(4096, dtype=np.float32)
_SAME_INDEX = ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze")


def stand_in(port: Port, rng: np.random.Generator | None = None) -> npt.NDArray[Any]:
    """Floats are standard normal; integers one: a valid index, and as a mask it hides nothing.

    NumPy has no bfloat16: it is given as its bits, uint16.
    """
    if port.dtype == "bfloat16":
        floats = stand_in(port._replace(dtype="float32"), rng)
        return (floats.view(np.uint32) >> 16).astype(np.uint16)
    dtype = np.dtype(port.dtype)
    if np.issubdtype(dtype, np.floating):
        return (rng or np.random.default_rng(0)).standard_normal(port.shape, dtype=np.float32).astype(dtype)
    return np.ones(port.shape, dtype)


def repeating(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Numbers for a weight, standard normal; they repeat after 16 KiB, so that hundreds of megabytes pack into few."""
    return np.resize(_PATTERN, shape)


def index_limits(proto: ModelProto) -> dict[str, int]:
    """{input: how many rows the table has that it is an index of}, of token ids and the like."""
    rows = {weight.name: weight.dims[0] for weight in proto.graph.initializer if weight.dims}
    of = {entry.name: entry.name for entry in proto.graph.input}
    found: dict[str, int] = {}
    for node in proto.graph.node:
        if node.op_type in _SAME_INDEX and node.input[0] in of:
            of[node.output[0]] = of[node.input[0]]
        first = next((each.i for each in node.attribute if each.name == "axis"), 0) == 0
        if node.op_type == "Gather" and first and node.input[0] in rows and node.input[1] in of:
            entry = of[node.input[1]]
            found[entry] = min(rows[node.input[0]], found.get(entry, rows[node.input[0]]))
    return found
