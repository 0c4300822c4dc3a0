"""Data sets of somebody else's, as a user of ``python:…`` would write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

COUNT = 12
SIZE = 20


def grey(part: str, index: int) -> np.ndarray[Any, Any]:
    """(20, 20, 1) uint8, another for each image and part."""
    rng = np.random.default_rng([index, part == "test"])
    return rng.integers(0, 256, (SIZE, SIZE, 1), dtype=np.uint8)


class Pil:
    """PIL images of three classes with names and targets."""

    classes = ("one", "two", "three")  # in the order of labels, not of the alphabet

    def __init__(self, part: str) -> None:
        self.part = part
        self.targets = [index % 3 for index in range(COUNT)]

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.image(index), self.targets[index]

    def image(self, index: int) -> Any:
        return Image.fromarray(grey(self.part, index)[:, :, 0])


class Hwc(Pil):
    def image(self, index: int) -> Any:
        return np.repeat(grey(self.part, index), 3, axis=2)


class Chw(Pil):
    def image(self, index: int) -> Any:
        return torch.from_numpy(grey(self.part, index)).permute(2, 0, 1)


class Plain(torch.utils.data.Dataset[Any]):
    """No names, no targets, labels as 0-d tensors, and mirroring isn't wanted."""

    mirrors = False

    def __init__(self, part: str) -> None:
        self._inner = Pil(part)

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image, label = self._inner[index]
        return image, torch.tensor(label)


class Broken(Pil):
    """One image of 24 can't be read."""

    def image(self, index: int) -> Any:
        if (self.part, index) == ("train", 3):
            raise OSError("the disk is\non fire")
        return super().image(index)


class Namespace:
    maker = Pil


class Fails:
    def __init__(self, part: str) -> None:
        raise FileNotFoundError(f"no {part} here")


class OnlyItem(Pil):
    def __getitem__(self, index: int) -> Any:
        return self.image(index)


class FloatImage(Pil):
    def image(self, index: int) -> Any:
        return torch.zeros(3, SIZE, SIZE)


class TwoChannels(Pil):
    def image(self, index: int) -> Any:
        return np.zeros((SIZE, SIZE, 2), dtype=np.uint8)


class TextLabel(Plain):
    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index)[0], "one"


class FloatLabel(Plain):
    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index)[0], 1.0


class Negative(Plain):
    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index)[0], index % 3 - 1


class OutOfRange(Pil):
    classes = ("one", "two")  # type: ignore[assignment]


class NewInTest(Plain):
    def __init__(self, part: str) -> None:
        super().__init__(part)
        self._inner.targets[5] = 7 if part == "test" else 0


class TwiceTheSame(Pil):
    classes = ("one", "one", "two")


class OtherClasses(Pil):
    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.classes = ("a", "b", "c") if part == "train" else ("a", "c", "b")


class FewTargets(Pil):
    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.targets = self.targets[:-1]


class LyingTargets(Pil):
    def __getitem__(self, index: int) -> Any:
        return self.image(index), (self.targets[index] + 1) % 3


class Stream(torch.utils.data.IterableDataset[Any]):
    def __init__(self, part: str) -> None:
        self.part = part

    def __iter__(self) -> Any:
        return iter([])


def nothing(part: str) -> list[Any]:
    return []


def none(part: str) -> None:
    return None


number = 3
