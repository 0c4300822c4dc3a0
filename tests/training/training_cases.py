"""Small images and short trainings that the tests here share."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from hwnas.training.config import TrainConfig
from hwnas.training.learners.supernet import SupernetConfig

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def paint(path: Path, *stripes: tuple[int, int, int], size: tuple[int, int] = (16, 16)) -> Path:
    """An image file (width, height) of vertical stripes of equal width."""
    pixels = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    for index, colour in enumerate(stripes):
        pixels[:, index * size[0] // len(stripes) : (index + 1) * size[0] // len(stripes)] = colour
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def folder_of_images(root: Path, per_class: int = 6) -> Path:
    """train/ and test/ of two classes: "blue" and "red"; each image has its own shade."""
    for part in ("train", "test"):
        for index in range(per_class):
            shade = 255 - 10 * index
            paint(root / part / "red" / f"{index}.png", (shade, 0, 0))
            paint(root / part / "blue" / f"{index}.png", (0, 0, shade))
    return root


def short(space: Path | str, **changes: Any) -> TrainConfig:
    """A supernet training of 2 × 4 updates on one thread; ``changes`` are keys of the top or of the learner."""
    settings = {"data": "digits", "epochs": 2, "batch": 320, "warmup_epochs": 0.5, "threads": 1}
    learner = {key: changes.pop(key) for key in list(changes) if key in SupernetConfig.model_fields}
    supernet = SupernetConfig(space=str(space), **{"recalibration_batches": 1, **learner})
    return TrainConfig(learner=supernet, **{**settings, **changes})


def state_bytes(module: torch.nn.Module) -> str:
    """A hash over every tensor of a module."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
