"""A folder of images: ``train/<class>/*.jpg`` and ``test/<class>/*.jpg`` (or ``val/`` for ``test/``)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from hwnas.errors import DataError
from hwnas.train.images import FileImages

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm"})


def read_folder(folder: Path, resolution: int) -> tuple[FileImages, FileImages, tuple[str, ...]]:
    """What lies in ``folder``: images to train on, images to test on, class names (sorted).

    Hidden files and files that don't end like an image are passed over.

    Raises:
        DataError: no such folder, no ``train/`` or ``test/``, no classes, classes that differ, or one without images.
    """
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; give 'digits' or a folder with train/<class>/ and test/<class>/")
    train = folder / "train"
    if not train.is_dir():
        raise DataError(f"{folder} has no train/; put the images in train/<class>/ and test/<class>/")
    test = next((folder / name for name in ("test", "val") if (folder / name).is_dir()), None)
    if test is None:
        raise DataError(f"{folder} has neither test/ nor val/; put images to test on in test/<class>/")
    classes = _classes(train)
    if (other := _classes(test)) != classes:
        odd = sorted(set(classes) ^ set(other))[0]
        where = train if odd in classes else test
        raise DataError(f"class {odd!r} is only in {where}; {train} and {test} must have the same classes")
    return _images(train, classes, resolution), _images(test, classes, resolution), classes


def fingerprint(folder: Path, *parts: FileImages) -> str:
    """SHA-256 of the names and sizes of all image files: what identifies a folder too large to read twice."""
    digest = hashlib.sha256()
    for part in parts:
        for path in part.paths:
            digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\n".encode())
    return digest.hexdigest()


def _classes(folder: Path) -> tuple[str, ...]:
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not names:
        raise DataError(f"{folder} has no classes; make one folder per class in it")
    return tuple(names)


def _images(folder: Path, classes: tuple[str, ...], resolution: int) -> FileImages:
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(
            p for p in (folder / name).iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")
        )
        if not found:
            raise DataError(f"{folder / name} has no images; put files ending in {', '.join(sorted(SUFFIXES))} there")
        paths += found
        labels += [label] * len(found)
    return FileImages(paths, torch.tensor(labels), resolution)
