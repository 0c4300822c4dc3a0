"""The same image several times in a data set, by the content of its file."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from hwnas.data.images import DECODERS, Listing, Place, Source
from hwnas.errors import counted

_SAMPLE_BYTES = 4096
_CHUNK = 4096
_Result = TypeVar("_Result")


def doubles(found: Listing) -> Iterator[str]:
    """Remarks on images that are there more than once: in train and test, in two classes, or within a class.

    Files of one size are held against each other by some bytes of their middle, and only those that agree in these are
    read whole: a million images cost a read each and no more.
    """
    sources = [part[0] for part in (found.train, found.test)]
    labels = [label for part in (found.train, found.test) for label in part[1].tolist()]
    first = len(found.train[1])

    def source(index: int) -> tuple[Source, int]:
        """Where it is from, and its index there."""
        return (sources[0], index) if index < first else (sources[1], index - first)

    def place(index: int) -> Place | None:
        its, at = source(index)
        return its.place(at)

    places = list(_at_once(place, range(len(labels))))
    both, classes, again = [], [], []
    for group in _alike(places):
        if len({labels[index] for index in group}) > 1:
            classes.append(group)
        if len({index < first for index in group}) > 1:
            both.append(group)
        if len({(labels[index], index < first) for index in group}) < len(group):
            again.append(group)
    for groups, what in (
        (both, "in train and in test, so accuracies will look better than they are"),
        (classes, "in more than one class, so one of them is wrong"),
        (again, "there more than once"),
    ):
        if groups:
            one, other = (its.name(at) for its, at in map(source, (groups[0][0], groups[0][-1])))
            count = f"{counted(len(groups), 'image')} {'is' if len(groups) == 1 else 'are'}"
            yield f"{count} {what}; remove what is too much (the first: {one} and {other})"


def _alike(places: list[Place | None]) -> list[list[int]]:
    """Groups of indices whose files hold the same."""
    known = {index: place for index, place in enumerate(places) if place and place.size}
    groups = _split([list(known)], {index: place.size for index, place in known.items()}.__getitem__)
    for most in (_SAMPLE_BYTES, None):
        chosen = [index for group in groups for index in group]
        digests = _at_once(partial(_digest, known, most), chosen)
        groups = _split(groups, dict(zip(chosen, digests, strict=True)).__getitem__)
    return groups


def _at_once(do: Callable[[int], _Result], indices: Sequence[int]) -> Iterator[_Result]:
    """Results in the order of ``indices``, by threads, since disks answer slowly; some at a time, as there are many."""
    with ThreadPoolExecutor(DECODERS) as pool:
        for first in range(0, len(indices), _CHUNK):
            yield from pool.map(do, indices[first : first + _CHUNK])


def _split(groups: list[list[int]], key: Callable[[int], object]) -> list[list[int]]:
    found = []
    for group in groups:
        parts = defaultdict(list)
        for index in group:
            parts[key(index)].append(index)
        found += [part for part in parts.values() if len(part) > 1]
    return found


def _digest(places: dict[int, Place], most: int | None, index: int) -> bytes:
    """Of some bytes of the middle, or of all; what can't be read is like nothing else."""
    place = places[index]
    skipped = max(0, place.size - most) // 2 if most else 0
    try:
        with open(place.path, "rb") as file:
            file.seek(place.offset + skipped)
            return hashlib.sha256(file.read(min(most or place.size, place.size))).digest()
    except OSError:
        return str(index).encode()
