"""The data set of a training."""

from __future__ import annotations

from hwnas.data.augment import resize_px
from hwnas.data.load import Data, load_data
from hwnas.training.config import TrainConfig


def data_of(config: TrainConfig, resolution: int) -> Data:
    """What ``config`` trains on, at ``resolution`` pixels.

    Raises:
        DataError: it can't be had; see :func:`load_data`.
    """
    return load_data(
        config.data, resolution, held_out=config.held_out, corrupt=config.corrupt_images,
        resize_px=resize_px(config.augment, resolution),
    )  # fmt: skip
