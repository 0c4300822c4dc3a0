"""Inputs to run a model with whose own aren't at hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Port


def stand_in(port: Port, rng: np.random.Generator | None = None) -> npt.NDArray[Any]:
    """Floats are standard normal; integers one: a valid index, and as a mask it hides nothing."""
    dtype = np.dtype(port.dtype)
    if np.issubdtype(dtype, np.floating):
        return (rng or np.random.default_rng(0)).standard_normal(port.shape, dtype=np.float32).astype(dtype)
    return np.ones(port.shape, dtype)
