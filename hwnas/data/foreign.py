"""Any map-style :class:`torch.utils.data.Dataset`, by the import path of what makes it: ``python:package.module:name``.

    # my_data.py, on PYTHONPATH
    def flowers(part: str):                      # "train" or "test"
        return torchvision.datasets.Flowers102("…", split=part)

    hwnas: data: python:my_data:flowers

``name`` is called with the part and gives a data set of (image, label) pairs: a PIL image, or uint8 HWC or CHW with 1
or 3 channels, an array or a tensor; and an integer. It should give the same image each time: hwnas resizes, augments
and normalises. These attributes of the data set are used where it has them:

- ``classes``, names in the order of the labels (else they are called ``0``, ``1``, …);
- ``targets``, the labels; without it every item is read once to learn its label;
- ``mirrors``, False where a mirrored image doesn't show its class any more.

It is made once per part in each process that decodes, and needn't be safe to use from several threads.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import index as as_int
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from hwnas.data.images import Listing, Place, spread
from hwnas.data.pixels import fit
from hwnas.errors import DataError

PREFIX = "python:"

_FINGERPRINT_IMAGES = 256
_FINGERPRINT_PX = 64


@dataclass(frozen=True)
class DatasetSource:
    """One part of a foreign data set. Only its import path is sent to other processes."""

    spec: str
    part: str
    threads = 1

    @cached_property
    def dataset(self) -> Any:
        """What the callable gives: a map-style data set with something in it."""
        try:
            found = _callable(self.spec)(self.part)
        except DataError:
            raise
        except Exception as error:  # whatever the user's code raises
            raise DataError(f"{self.spec}: called with {self.part!r} it raised {_in_short(error)}") from None
        try:
            count = len(found) if hasattr(found, "__getitem__") else 0
        except TypeError:
            count = 0
        if count < 1:
            raise DataError(
                f"{self.spec}: called with {self.part!r} it gave {type(found).__name__}, not a data set with a length "
                f"above 0 and items by index; return a map-style torch.utils.data.Dataset"
            )
        return found

    def __reduce__(self) -> tuple[type[DatasetSource], tuple[str, str]]:
        return DatasetSource, (self.spec, self.part)

    def name(self, index: int) -> str:
        return f"{self.spec}: {self.part} item {index}"

    def place(self, index: int) -> Place | None:
        return None

    def image(self, index: int, resolution: int) -> npt.NDArray[np.uint8]:
        image = self._pil(index, self._item(index)[0])
        try:
            return fit(image, resolution)
        except Exception as error:  # pillow decodes here, if the data set only opened a file, and raises anything
            raise DataError(f"{self.name(index)} raised {_in_short(error)}; repair or remove it") from None

    def labels(self) -> torch.Tensor:
        """Of all items: int64 (N,), from 0."""
        count, targets = len(self.dataset), getattr(self.dataset, "targets", None)
        if targets is None:
            labels = [self._integer(index, self._item(index)[1]) for index in range(count)]
        else:
            labels = [self._integer(index, target) for index, target in enumerate(targets)]
            if len(labels) != count:
                raise DataError(
                    f"{self.spec}: {self.part} has {count} items and {len(labels)} targets; give one for each"
                )
            if labels[0] != (first := self._integer(0, self._item(0)[1])):
                raise DataError(f"{self.name(0)} has the label {first}, but targets says {labels[0]}; they must agree")
        if (least := min(labels)) < 0:
            raise DataError(f"{self.name(labels.index(least))} has the label {least}; labels count from 0")
        return torch.tensor(labels)

    def _item(self, index: int) -> Sequence[Any]:
        try:
            item = self.dataset[index]
        except Exception as error:
            raise DataError(f"{self.name(index)} raised {_in_short(error)}; repair or remove it") from None
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise DataError(f"{self.name(index)} is {_kind(item)}; give (image, label)")
        return item

    def _integer(self, index: int, label: Any) -> int:
        try:
            return as_int(label)
        except TypeError:
            raise DataError(f"{self.name(index)} has the label {label!r:.80}; give an integer") from None

    def _pil(self, index: int, image: Any) -> Image.Image:
        if isinstance(image, Image.Image):
            return image
        pixels = image.numpy(force=True) if isinstance(image, torch.Tensor) else image
        if isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.size:
            if pixels.shape[2] not in (1, 3):
                pixels = pixels.transpose(1, 2, 0)
            if pixels.shape[2] in (1, 3):
                return Image.fromarray(np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))))
        raise DataError(
            f"{self.name(index)} has {_kind(image)} as image; give a PIL image, or uint8 HWC or CHW, 1 or 3 channels"
        )


def read_foreign(spec: str) -> Listing:
    """What the data set of ``spec`` has.

    Raises:
        DataError: it can't be imported or made, the first image of a part isn't one, or labels don't fit the classes.
    """
    sources = [DatasetSource(spec, part) for part in ("train", "test")]
    labels = [source.labels() for source in sources]
    classes, of_test = (_classes(source) for source in sources)
    if classes != of_test:
        raise DataError(f"{spec}: train and test have different classes; they must be the same, in the same order")
    if classes is None:
        classes = tuple(str(label) for label in range(int(labels[0].max()) + 1))
    for source, part in zip(sources, labels, strict=True):
        source.image(0, 1)  # what is wrong with all of them is told at once, whatever may be skipped later
        if (most := int(part.max())) >= len(classes):
            raise DataError(
                f"{source.name(int(part.argmax()))} has the label {most}, but there are {len(classes)} classes"
            )
    return Listing(
        train=(sources[0], labels[0]), test=(sources[1], labels[1]), classes=classes,
        fingerprint=lambda: _fingerprint(classes, sources, labels),
        mirrors=bool(getattr(sources[0].dataset, "mirrors", True)),
    )  # fmt: skip


def _fingerprint(classes: tuple[str, ...], sources: list[DatasetSource], labels: list[torch.Tensor]) -> str:
    """Of classes, labels and a few images of each part: a data set too large to read twice has nothing else."""
    digest = hashlib.sha256("\n".join(classes).encode())
    for source, part in zip(sources, labels, strict=True):
        digest.update(part.numpy().tobytes())
        for index in spread(len(part), _FINGERPRINT_IMAGES).tolist():
            try:
                digest.update(source.image(index, _FINGERPRINT_PX).tobytes())
            except DataError as problem:  # told where it matters
                digest.update(str(problem).encode())
    return digest.hexdigest()


def _classes(source: DatasetSource) -> tuple[str, ...] | None:
    found = getattr(source.dataset, "classes", None)
    if found is None:
        return None
    classes = tuple(map(str, found))
    if len(set(classes)) != len(classes):
        raise DataError(f"{source.spec}: classes of {source.part} name one twice; give each its own name")
    return classes


def _callable(spec: str) -> Any:
    module_name, colon, attribute = spec.removeprefix(PREFIX).partition(":")
    if not (module_name and colon and attribute):
        raise DataError(f"{spec!r} isn't an import path; write {PREFIX}package.module:callable")
    try:
        found: Any = importlib.import_module(module_name)
        for name in attribute.split("."):
            found = getattr(found, name)
    except Exception as error:  # importing runs the user's code
        raise DataError(f"can't import {spec}: {_in_short(error)}; is it installed, or on PYTHONPATH?") from None
    if not callable(found):
        raise DataError(f"{spec} is {_kind(found)}, which can't be called; name a function of 'train' or 'test'")
    return found


def _in_short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _kind(thing: Any) -> str:
    """Type of a thing, with dtype and shape where it has them."""
    found = [type(thing).__name__, *(str(getattr(thing, name)) for name in ("dtype", "shape") if hasattr(thing, name))]
    return " ".join(found) + (f" of {len(thing)}" if isinstance(thing, tuple | list) else "")
