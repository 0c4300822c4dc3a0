"""A folder of shards, for data of ImageNet's size: ``train/*.tar`` and ``test/*.tar`` (or ``val/`` for ``test/``).

Each is a plain tar file whose members are ``<class>/<name>.jpg``; a class may lie in many shards and a shard hold many
classes. From a folder of images, one shard per initial letter of the class or one for each hundred classes will do:

    tar -cf shards/train/000.tar -C imagenet/train n01440764 n01443537 …
    tar -cf shards/test/000.tar -C imagenet/val n01440764 n01443537 …

Members are listed once, when the data set is loaded (half a minute per million), and read by their offset after that,
in any order and by any number of threads and processes: nothing is extracted, and no file stays open.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from hwnas.data.folder import Ignored, class_names, ending_of, not_read, parts_of, same_classes, suffixes
from hwnas.data.images import DECODERS, Listing, Place, decode, readable
from hwnas.errors import DataError, counted, first_line, shown

_MOST_LETTERS = 512  # two names as long as disks have them


@dataclass(frozen=True)
class ShardSource:
    """Images by their place in shards.

    Attributes:
        shards: paths of tar files.
        shard: int64 (N,), index of ``shards``.
        offset, size: int64 (N,) each, in bytes.
        threads: that may read at the same time.
    """

    shards: tuple[str, ...]
    shard: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    threads: int = DECODERS

    def name(self, index: int) -> str:
        """Shard and member; the shard is listed again for it, as a million names are too much to keep for messages."""
        shard, offset = self.shards[self.shard[index]], int(self.offset[index])
        try:
            found = next((m.name for m in _members(Path(shard)) if m.offset_data == offset), None)
        except DataError:  # it isn't what it was
            found = None
        return readable(f"{shard}: {found or f'the image at byte {offset}'}")

    def place(self, index: int) -> Place | None:
        return Place(self.shards[self.shard[index]], int(self.offset[index]), int(self.size[index]))

    def image(self, index: int, resolution: int) -> npt.NDArray[np.uint8]:
        return decode(io.BytesIO(self._bytes(index)), lambda: self.name(index), resolution)

    def _bytes(self, index: int) -> bytes:
        path, size = self.shards[self.shard[index]], int(self.size[index])
        try:
            with open(path, "rb") as file:
                file.seek(int(self.offset[index]))
                data = file.read(size)
        except OSError as error:
            raise DataError(f"can't read {path}: {error.strerror}; repair or remove it") from None
        if len(data) < size:
            raise DataError(f"{path} has become shorter since it was listed; copy it anew")
        return data


def has_shards(folder: Path) -> bool:
    """Whether this is a folder of shards, and not one of images."""
    return any((folder / "train").glob("*.tar"))


def read_shards(folder: Path) -> Listing:
    """What lies in the shards of ``folder``; images in the order of shard names, and within one as they lie there.

    Hidden files and files that don't end like an image are passed over and counted.

    Raises:
        DataError: no ``train/`` or ``test/``, a shard that is damaged, cut off, or compressed, a member that isn't
            ``<class>/<name>`` or leads elsewhere (links, ``..``), no images, or classes that differ.
    """
    parts = parts_of(folder)
    digest = hashlib.sha256()
    ignored: Ignored = Counter()
    again = Counter[Path]()
    endings, listed = suffixes(), []
    for part in parts:
        if loose := next((p for p in sorted(part.iterdir()) if p.is_dir() and not p.name.startswith(".")), None):
            raise DataError(f"{part} has shards and the folder {loose.name}/; leave either only *.tar or only folders")
        shards = sorted(p for p in part.glob("*.tar") if not p.name.startswith("."))
        names: dict[str, int] = {}
        rows: list[tuple[int, int, int, int]] = []
        for index, shard in enumerate(shards):
            if not shard.is_file():
                raise DataError(f"{readable(str(shard))} isn't a plain file; put a tar file there")
            digest.update(os.fsencode(f"{shard.relative_to(folder).as_posix()}\0{shard.stat().st_size}\n"))
            seen: set[int] = set()
            for member in _members(shard):
                if member.isdir():
                    continue
                class_name, file_name = _checked(shard, member)
                if (ending := ending_of(file_name)) not in endings:
                    ignored[class_name, ending] += 1
                    continue
                again[shard] += (key := hash((class_name, file_name))) in seen
                seen.add(key)
                digest.update(os.fsencode(f"{class_name}/{file_name}\0{member.size}\n"))
                rows.append((names.setdefault(class_name, len(names)), index, member.offset_data, member.size))
        if not rows:
            raise DataError(f"{part} has no shards with images; put *.tar files with <class>/<name>.jpg there")
        columns = np.array(rows, dtype=np.int64).T.copy()
        listed.append((names, columns[0], ShardSource(tuple(map(str, shards)), *columns[1:])))
    (of_train, *train), (of_test, *test) = listed
    classes = class_names(of_train, parts[0])
    same_classes(parts[0], classes, parts[1], class_names(of_test, parts[1]))
    remarks = [
        *(f"{folder}: {line}" for line in not_read(ignored)),
        *(f"{shard} has {counted(count, 'name')} twice; make it anew" for shard, count in again.items() if count),
    ]
    return Listing(
        train=(train[1], _labels(of_train, train[0], classes)), test=(test[1], _labels(of_test, test[0], classes)),
        classes=classes, ignored=ignored.total(), remarks=tuple(remarks), fingerprint=digest.hexdigest,
    )  # fmt: skip


def _labels(names: dict[str, int], seen: npt.NDArray[np.int64], classes: tuple[str, ...]) -> torch.Tensor:
    """From numbers in the order of appearance to indices of the sorted names."""
    place = {name: label for label, name in enumerate(classes)}
    return torch.from_numpy(np.array([place[name] for name in names], dtype=np.int64)[seen])


def _members(shard: Path) -> Iterator[tarfile.TarInfo]:
    try:
        with tarfile.open(shard, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # else it keeps all of them
                if member.size < 0 or tar.offset <= member.offset:  # it would be read for ever (CVE-2025-8194)
                    raise ValueError(f"a member of {member.size} bytes at byte {member.offset}")
                yield member
            stopped_at = tar.offset
        with open(shard, "rb") as file:  # tarfile takes a cut between two members, or rubbish there, for the end
            file.seek(stopped_at)
            mark = file.read(tarfile.BLOCKSIZE)
    except (tarfile.TarError, OSError, ValueError, EOFError, RecursionError, OverflowError, MemoryError) as error:
        problem = readable(first_line(error))
        raise DataError(f"can't read the shard {shard}: {problem}; it takes a plain, whole tar file") from None
    if mark != bytes(tarfile.BLOCKSIZE):
        raise DataError(f"the shard {shard} is cut off or damaged at byte {stopped_at}; make or copy it anew")


def _checked(shard: Path, member: tarfile.TarInfo) -> tuple[str, str]:
    """Class and file name of a member: a plain file two levels deep."""
    steps = [step for step in member.name.split("/") if step not in ("", ".")]
    if len(member.name) > _MOST_LETTERS:
        raise DataError(f"{shard}: the member {shown(member.name)}… has a name of more than {_MOST_LETTERS} letters")
    if member.name.startswith("/") or ".." in steps:
        raise DataError(f"{shard}: the member {member.name!r} leads out of the shard; make the shard anew")
    if not member.isreg() or member.issparse():
        raise DataError(f"{shard}: the member {member.name!r} is a link or no plain file; put the image itself there")
    if len(steps) != 2:
        raise DataError(f"{shard}: the member {member.name!r} isn't <class>/<name>; use tar -C FOLDER CLASS…")
    return steps[0], steps[1]
