"""A folder of images: ``train/<class>/`` and ``test/<class>/`` (or ``val/`` for ``test/``), or ``<class>/`` alone."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from hwnas.data.images import DECODERS, Listing, Place, decode, readable, stratified
from hwnas.data.pixels import formats
from hwnas.errors import DataError, counted, nearest

DATA = "'digits', a folder with train/<class>/ and test/<class>/, or one with <class>/ alone"
"""What data may be, in words."""

_TEST_SHARE = 0.2
_PARTS = {"train", "training", "test", "testing", "val", "valid", "validation", "eval"}
"""Names of folders that hold a part of the data, and no class."""
_SHOWN = 10  # classes, and endings of one

_Listed = tuple[tuple[str, ...], torch.Tensor]
Ignored = Counter[tuple[str, str]]
"""How many files aren't read, by class ("" beside the classes) and ending."""


@dataclass(frozen=True)
class PathSource:
    """Images in files of their own; paths as text, which is small to send to other processes."""

    paths: tuple[str, ...]
    threads: int = DECODERS

    def name(self, index: int) -> str:
        return readable(self.paths[index])

    def place(self, index: int) -> Place | None:
        try:
            found = os.stat(self.paths[index])
        except OSError:
            return None
        return Place(self.paths[index], 0, found.st_size) if stat.S_ISREG(found.st_mode) else None

    def image(self, index: int, resolution: int) -> npt.NDArray[np.uint8]:
        return decode(Path(self.paths[index]), lambda: self.name(index), resolution)


def read_folder(folder: Path) -> Listing:
    """What lies in ``folder``: images to train on, images to test on, classes (sorted).

    Folders in a class's folder belong to the class. Where there are classes and neither ``train/`` nor ``test/``, a
    fifth of each class is the test part, the same one each time. Hidden files and files that don't end as an image
    does that pillow reads are passed over, counted and remarked on.

    Raises:
        DataError: no ``train/`` or ``test/``, no classes, classes that differ, or one without images.
        OSError: a folder can't be read.
    """
    ignored: Ignored = Counter()
    plain = _is_plain(folder)
    parts = (folder,) if plain else parts_of(folder)
    classes = [_classes(part) for part in parts]
    same_classes(parts[0], classes[0], parts[-1], classes[-1])
    listed = [_listed(part, parts, classes[0], ignored) for part in parts]
    remarks = [f"{folder}: {line}" for line in (*not_read(ignored), *_elsewhere(folder, listed))]
    if plain:
        ((paths, labels),) = listed
        listed = [
            (tuple(paths[index] for index in chosen.tolist()), labels[chosen])
            for chosen in stratified(labels, _TEST_SHARE, classes[0])
        ]
        remarks.append(
            f"{folder} has no train/ and test/: {len(listed[1][0])} of its {counted(len(paths), 'image')}, "
            f"{_TEST_SHARE:.0%} of each class, are the test part, drawn with a fixed seed"
        )
    train, test = ((PathSource(paths), labels) for paths, labels in listed)
    return Listing(
        train=train, test=test, classes=classes[0], ignored=ignored.total(), remarks=tuple(remarks),
        fingerprint=lambda: _fingerprint(folder, train[0], test[0]),
    )  # fmt: skip


def _is_plain(folder: Path) -> bool:
    """Whether it has classes, and no parts.

    Raises:
        DataError: it has only one class.
    """
    found = _folders(folder) if folder.is_dir() else []
    if not found or any(p.name.lower() in _PARTS for p in found):
        return False
    if len(found) == 1:
        raise DataError(
            f"{folder} has no train/, and only one class, {found[0].name!r}; give a folder with two or more class "
            "folders, or with train/<class>/ and test/<class>/"
        )
    return True


def parts_of(folder: Path) -> tuple[Path, Path]:
    """The folders of the train and the test part.

    Raises:
        DataError: there is no such folder, or one of them is missing.
    """
    if not folder.is_dir():
        beside = [p.name for p in folder.parent.iterdir() if p.is_dir()] if folder.parent.is_dir() else []
        near = nearest(folder.name, beside)
        hint = f" did you mean '{folder.with_name(near)}'?" if near else ""
        raise DataError(f"no folder {folder};{hint} give {DATA}")
    train = folder / "train"
    if not train.is_dir():
        raise DataError(f"{folder} has no train/; put the images in train/<class>/ and test/<class>/, or in <class>/")
    for name in ("test", "val"):
        if (folder / name).is_dir():
            return train, folder / name
    raise DataError(f"{folder} has neither test/ nor val/; put images to test on in test/<class>/")


def class_names(names: Iterable[str], where: Path) -> tuple[str, ...]:
    """Names of classes, sorted.

    Raises:
        DataError: one isn't UTF-8, or two look the same.
    """
    classes = tuple(sorted(names))
    forms: dict[str, str] = {}
    for name in classes:
        if name != readable(name):
            raise DataError(f"{readable(str(where))}: the class {readable(name)!r} isn't UTF-8; rename it")
        if forms.setdefault(normalize("NFC", name), name) != name:
            raise DataError(f"{where} has two classes {name!r} that differ in their Unicode form only; rename one")
    return classes


def same_classes(train: Path, of_train: tuple[str, ...], test: Path, of_test: tuple[str, ...]) -> None:
    """Check that both parts have the same classes.

    Raises:
        DataError: one of them has a class that the other doesn't have.
    """
    if of_train == of_test:
        return
    odd = sorted(set(of_train) ^ set(of_test))[0]
    where, other = (train, of_test) if odd in of_train else (test, of_train)
    if any(same_text(odd, name) for name in other):
        raise DataError(
            f"class {odd!r} of {train} and {test} differs in its Unicode form only: an accented letter is one "
            "character in one of them and two in the other; rename one of the folders"
        )
    raise DataError(f"class {odd!r} is only in {where}; {train} and {test} must have the same classes")


def same_text(one: str, other: str) -> bool:
    """Whether two names look the same: an accented letter may be one character, or two."""
    return normalize("NFC", one) == normalize("NFC", other)


def suffixes() -> frozenset[str]:
    """How files end that pillow reads here, in small letters."""
    known = set(formats())
    return frozenset(ending for ending, kind in Image.registered_extensions().items() if kind in known)


def ending_of(name: str) -> str:
    """How a file's name ends, in small letters; of a hidden one that it is hidden."""
    return "hidden" if _hidden(name) else os.path.splitext(name)[1].lower()


def not_read(ignored: Ignored) -> Iterator[str]:
    """What isn't read, a line for each of the first classes."""
    by_class: dict[str, Counter[str]] = {}
    for (name, ending), count in sorted(ignored.items()):
        by_class.setdefault(name, Counter())[ending] = count
    for name, endings in list(by_class.items())[:_SHOWN]:
        where = (
            f"in class {name!r} not read: hidden, or no kind that pillow knows"
            if name
            else "beside the classes not read"
        )
        yield f"{_kinds(endings)} {where}"
    if (more := len(by_class) - _SHOWN) > 0:
        yield f"files that aren't read in {counted(more, 'class')} more"
    if any(ending in (".heic", ".heif") for _, ending in ignored):
        yield "HEIC isn't read; convert it, as to JPEG"


def _kinds(endings: Counter[str]) -> str:
    told = [f"{count} {ending or 'without an ending'}" for ending, count in sorted(endings.items())[:_SHOWN]]
    return ", ".join([*told, "more"] if len(endings) > _SHOWN else told)


def _elsewhere(folder: Path, listed: Sequence[_Listed]) -> Iterator[str]:
    """A remark on links to folders outside: they may be meant, or somebody else's trick."""
    root, holders = folder.resolve(), {os.path.dirname(path): None for paths, _ in listed for path in paths}
    outside = [(held, real) for held in holders if not (real := Path(held).resolve()).is_relative_to(root)]
    if outside:
        held, real = outside[0]
        yield f"links lead out of it to {counted(len(outside), 'folder')} of images, as {held} to {real}"


def _listed(part: Path, parts: Sequence[Path], classes: tuple[str, ...], ignored: Ignored) -> _Listed:
    """Paths of the images of a part and their labels (N,)."""
    endings = suffixes()
    paths: list[str] = []
    counts = []
    ignored.update(("", ending_of(p.name)) for p in part.iterdir() if not p.is_dir() and not _hidden(p.name))
    for name in classes:
        found, others = [], Counter[str]()
        for path in _walk(part / name, parts):
            ending = ending_of(os.path.basename(path))
            if ending in endings:
                found.append(path)
            else:
                others[ending] += 1
        if not found:
            raise DataError(
                f"{part / name} has no images that pillow reads ({_kinds(others) or 'it is empty'}); put JPEG, PNG or "
                "others of its formats there"
            )
        paths += sorted(found)
        counts.append(len(found))
        ignored.update({(name, ending): count for ending, count in others.items()})
    return tuple(paths), torch.repeat_interleave(torch.arange(len(classes)), torch.tensor(counts))


def _walk(folder: Path, parts: Sequence[Path]) -> Iterator[str]:
    """What lies below a class's folder, each folder once; one that is called as an image is told as one.

    Raises:
        DataError: a link in it leads to images of other classes or of the other part, as if they were its own.
    """
    seen: set[tuple[int, int]] = set()
    whole, resolved = folder.resolve(), [part.resolve() for part in parts]
    endings = suffixes()
    for here, folders, names in os.walk(folder, onerror=_raised, followlinks=True):
        target = Path(here).resolve() if os.path.islink(here) else whole
        if target in whole.parents or (any(map(target.is_relative_to, resolved)) and not target.is_relative_to(whole)):
            raise DataError(f"{here} is a link to {target}, where other images of the data are; remove the link")
        found = os.stat(here)
        odd = [name for name in folders if ending_of(name) in endings]
        again = (found.st_dev, found.st_ino) in seen
        seen.add((found.st_dev, found.st_ino))
        folders[:] = [] if again else sorted(name for name in folders if not (_hidden(name) or name in odd))
        if not again:
            yield from (os.path.join(here, name) for name in [*names, *odd])


def _raised(error: OSError) -> None:
    raise error


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"  # the latter holds what macOS puts beside files in an archive


def _folders(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.is_dir() and not _hidden(p.name)]


def _fingerprint(folder: Path, *sources: PathSource) -> str:
    """Of the names and sizes of all image files: what identifies a folder too large to read twice."""
    digest = hashlib.sha256()
    for source in sources:
        for index, path in enumerate(source.paths):
            place = source.place(index)
            digest.update(os.fsencode(f"{Path(path).relative_to(folder).as_posix()}\0{place.size if place else 0}\n"))
    return digest.hexdigest()


def _classes(folder: Path) -> tuple[str, ...]:
    names = class_names((p.name for p in _folders(folder)), folder)
    if not names:
        raise DataError(f"{folder} has no classes; make one folder per class in it")
    return names
