"""A folder of images: ``train/<class>/*.jpg`` and ``test/<class>/*.jpg`` (or ``val/`` for ``test/``)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from hwnas.data.images import DECODERS, SUFFIXES, Listing, decode
from hwnas.errors import DataError


@dataclass(frozen=True)
class PathSource:
    """Images in files of their own; paths as text, which is small to send to other processes."""

    paths: tuple[str, ...]
    threads: int = DECODERS

    def name(self, index: int) -> str:
        return self.paths[index]

    def image(self, index: int, resolution: int) -> npt.NDArray[np.uint8]:
        return decode(Path(self.paths[index]), lambda: self.paths[index], resolution)


def read_folder(folder: Path) -> Listing:
    """What lies in ``folder``: images to train on, images to test on, classes (sorted).

    Hidden files and files that don't end like an image are passed over and counted.

    Raises:
        DataError: no ``train/`` or ``test/``, no classes, classes that differ, or one without images.
    """
    train, test = parts_of(folder)
    classes = _classes(train)
    same_classes(train, classes, test, _classes(test))
    ignored, sources, labels = 0, [], []
    for part in (train, test):
        paths: list[str] = []
        counts = []
        for name in classes:
            files = list((part / name).iterdir())
            found = sorted(str(f) for f in files if f.suffix.lower() in SUFFIXES and not f.name.startswith("."))
            if not found:
                raise DataError(f"{part / name} has no images; put files ending in {', '.join(sorted(SUFFIXES))} there")
            paths += found
            counts.append(len(found))
            ignored += len(files) - len(found)
        sources.append(PathSource(tuple(paths)))
        labels.append(torch.repeat_interleave(torch.arange(len(classes)), torch.tensor(counts)))
    return Listing(
        train=(sources[0], labels[0]), test=(sources[1], labels[1]), classes=classes, ignored=ignored,
        fingerprint=lambda: _fingerprint(folder, *sources),
    )  # fmt: skip


def parts_of(folder: Path) -> tuple[Path, Path]:
    """The folders of the train and the test part.

    Raises:
        DataError: there is no such folder, or one of them is missing.
    """
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; give 'digits' or a folder with train/<class>/ and test/<class>/")
    train = folder / "train"
    if not train.is_dir():
        raise DataError(f"{folder} has no train/; put the images in train/<class>/ and test/<class>/")
    for name in ("test", "val"):
        if (folder / name).is_dir():
            return train, folder / name
    raise DataError(f"{folder} has neither test/ nor val/; put images to test on in test/<class>/")


def same_classes(train: Path, of_train: tuple[str, ...], test: Path, of_test: tuple[str, ...]) -> None:
    """Check that both parts have the same classes.

    Raises:
        DataError: one of them has a class that the other doesn't have.
    """
    if of_train != of_test:
        odd = sorted(set(of_train) ^ set(of_test))[0]
        where = train if odd in of_train else test
        raise DataError(f"class {odd!r} is only in {where}; {train} and {test} must have the same classes")


def _fingerprint(folder: Path, *sources: PathSource) -> str:
    """Of the names and sizes of all image files: what identifies a folder too large to read twice."""
    digest = hashlib.sha256()
    for source in sources:
        for path in map(Path, source.paths):
            digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\n".encode())
    return digest.hexdigest()


def _classes(folder: Path) -> tuple[str, ...]:
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not names:
        raise DataError(f"{folder} has no classes; make one folder per class in it")
    return tuple(names)
