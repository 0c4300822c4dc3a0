"""The arrays that travel through hwnas, each shape and unit said where one is taken or given.

Part of profiling kits: Python ≥ 3.8 and numpy only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Archs = npt.NDArray[np.int64]
"""Choice indices: (L,) for one arch, (N, L) for a batch."""

Values = npt.NDArray[np.float64]
"""Numbers with a unit: (N,) one per arch, (N, K) one per arch and objective."""

Indices = npt.NDArray[np.int64]
"""(N,) positions in another array, or ranks."""

Flags = npt.NDArray[np.bool_]
"""Yes or no, one per item."""

Array = npt.NDArray[Any]
"""What any model takes or gives: of any dtype and shape, as the model's ports say."""

Images = npt.NDArray[np.float32]
"""(N, C, H, W) inputs of a network, normalised; or what it gives for them."""

Pixels = npt.NDArray[np.uint8]
"""(N, H, W, C) images as they are decoded."""


class Port(NamedTuple):
    """What a model takes or gives: one of its inputs or outputs, shape with the batch, dtype as NumPy calls it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
