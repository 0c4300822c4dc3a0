from __future__ import annotations

import gzip
import io
import os
import pickle
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hwnas.data import load as data_module
from hwnas.data.images import Images, SourceImages
from hwnas.data.load import load_data
from hwnas.data.shards import ShardSource, read_shards
from hwnas.errors import DataError
from tests.data.make import sharded
from tests.training.training_cases import folder_of_images


def all_pixels(images: Images) -> torch.Tensor:
    return images.pixels(torch.arange(len(images.labels)))


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return sharded(folder_of_images(tmp_path / "folder"), tmp_path / "shards")


@pytest.mark.parametrize("limit", [0, 2**32])
def test_shards_are_the_folder_that_they_were_made_of(
    limit: int, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_module, "MEMORY_LIMIT_BYTES", limit)
    found, expected = load_data(str(shards), 16), load_data(str(tmp_path / "folder"), 16)
    assert isinstance(found.train, SourceImages) == (limit == 0)
    assert found.classes == expected.classes
    for name in ("train", "validation", "test"):
        part, other = getattr(found, name), getattr(expected, name)
        assert torch.equal(all_pixels(part), all_pixels(other))
        assert torch.equal(part.labels, other.labels)
    assert (found.mean, found.std) == (expected.mean, expected.std)


def test_classes_may_be_spread_over_shards_in_any_order(shards: Path, tmp_path: Path) -> None:
    (shards / "train" / "000.tar").rename(shards / "train" / "zzz.tar")
    found, expected = load_data(str(shards), 16), load_data(str(tmp_path / "folder"), 16)
    assert found.classes == ("blue", "red")
    for part in (found.train, found.validation, found.test):
        lit = all_pixels(part).amax(dim=(2, 3))
        assert torch.equal(lit[:, 2] > lit[:, 0], part.labels == 0)
    assert sorted(all_pixels(found.test)[:, 0, 0, 0].tolist()) == sorted(all_pixels(expected.test)[:, 0, 0, 0].tolist())


def test_the_fingerprint_is_of_shards_names_and_sizes(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_module, "MEMORY_LIMIT_BYTES", 0)
    before = load_data(str(shards), 16).fingerprint
    assert load_data(str(shards), 16).fingerprint == before
    add(shards / "train" / "000.tar", "blue/another.png", (shards / ".." / "folder/train/blue/0.png").read_bytes())
    assert load_data(str(shards), 16).fingerprint != before


def test_what_is_sent_to_other_processes_is_small_and_reads_the_same(shards: Path) -> None:
    source = read_shards(shards).train[0]
    assert isinstance(source, ShardSource)
    sent = pickle.dumps(source)
    assert b"0.png" not in sent  # a million names would be 100 MB in each process
    again = pickle.loads(sent)
    assert (again.image(7, 16) == source.image(7, 16)).all()
    assert again.name(7) == f"{shards / 'train' / '001.tar'}: red/1.png"


def test_a_broken_image_is_named_with_its_shard(shards: Path) -> None:
    add(shards / "train" / "001.tar", "red/broken.jpg", b"this is text")
    with pytest.raises(DataError, match=r"can't decode .*001\.tar: red/broken\.jpg: not an image"):
        load_data(str(shards), 16)
    data = load_data(str(shards), 16, corrupt="skip")
    assert data.skipped.names == (f"{shards / 'train' / '001.tar'}: red/broken.jpg",)
    assert len(data.train.labels) + len(data.validation.labels) == 12


def test_what_is_no_image_is_counted(shards: Path) -> None:
    for name in ("red/notes.txt", "red/._0.png", "blue/.hidden.jpg"):
        add(shards / "train" / "000.tar", name, b"x")
    data = load_data(str(shards), 16)
    assert data.ignored == 3
    assert len(data.train.labels) + len(data.validation.labels) == 12


def test_names_that_arent_utf_8_are_read_and_shown(shards: Path) -> None:
    add(shards / "train" / "000.tar", "blue/\udcff.png", (shards / ".." / "folder/train/blue/0.png").read_bytes())
    add(shards / "train" / "000.tar", "blue/\udcfe.png", b"text")
    data = load_data(str(shards), 16, corrupt="skip")
    assert len(data.train.labels) + len(data.validation.labels) == 13
    assert data.skipped.names == (f"{shards / 'train' / '000.tar'}: blue/\\xfe.png",)


def test_doubles_are_counted_and_said(shards: Path) -> None:
    """A name that is there twice, as tar makes it that adds to an archive; and what isn't read, by class."""
    before = len(load_data(str(shards), 16).remarks())
    image = (shards / ".." / "folder/train/blue/0.png").read_bytes()
    for name in ("blue/0.png", "blue/1.png", "blue/new.png", "blue/a.heic", "red/b.heic"):
        add(shards / "train" / "000.tar", name, image)
    *told, _ = (line.removeprefix(str(shards)) for line in load_data(str(shards), 16).remarks())
    assert told[:4] == [
        ": 1 .heic in class 'blue' not read: hidden, or no kind that pillow knows",
        ": 1 .heic in class 'red' not read: hidden, or no kind that pillow knows",
        ": HEIC isn't read; convert it, as to JPEG",
        "/train/000.tar has 2 names twice; make it anew",
    ]
    assert len(told) == before + 4
    assert "1 image is there more than once" in load_data(str(shards), 16).remarks()[-1]


def test_a_leading_dot_in_names_is_fine(shards: Path, tmp_path: Path) -> None:
    subprocess.run(["tar", "-cf", shards / "test" / "000.tar", "-C", tmp_path / "folder" / "test", "."], check=True)
    assert load_data(str(shards), 16).classes == ("blue", "red")


def test_long_and_foreign_names_survive(shards: Path) -> None:
    image = (shards / ".." / "folder" / "train" / "red" / "0.png").read_bytes()
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(shards / "train" / f"{kind}.tar", "w", format=kind) as tar:
            member = tarfile.TarInfo(f"red/{'ü' * 180}.png")
            member.size = len(image)
            tar.addfile(member, io.BytesIO(image))
    data = load_data(str(shards), 16)
    assert len(data.train.labels) + len(data.validation.labels) == 14


def test_a_shard_that_shrinks_later(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_module, "MEMORY_LIMIT_BYTES", 0)
    data = load_data(str(shards), 16)
    shard = shards / "test" / "000.tar"
    shard.write_bytes(shard.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"test/000\.tar has become shorter"):
        all_pixels(data.test)


def add(shard: Path, name: str, content: bytes = b"", **fields: object) -> None:
    with tarfile.open(shard, "a") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        for field, value in fields.items():
            setattr(member, field, value)
        tar.addfile(member, io.BytesIO(content))


def _cut(shard: Path, keep: Callable[[int], int]) -> None:
    data = shard.read_bytes()
    shard.write_bytes(data[: keep(len(data))])


def _negative(shard: Path, kind: bytes = b"0") -> None:
    """A member whose size is negative, in base 256, and its checksum right (CVE-2025-8194)."""
    data = bytearray(shard.read_bytes())
    with tarfile.open(shard) as tar:
        member = tar.getmembers()[3]
    head = bytearray(data[member.offset : member.offset + 512])
    head[124:136] = b"\xff" * 4 + (-512).to_bytes(8, "big", signed=True)
    head[156:157] = kind
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    data[member.offset : member.offset + 512] = head
    shard.write_bytes(data)


def _negative_by_pax(shard: Path) -> None:
    with tarfile.open(shard, "w", format=tarfile.PAX_FORMAT) as tar:
        for index in range(3):
            member = tarfile.TarInfo(f"red/{index}.png")
            member.pax_headers = {"size": "-512"}
            tar.addfile(member)


def _many_heads(shard: Path) -> None:
    """Extended headers one after another: each is a call within the last one's."""
    head = tarfile.TarInfo("././@LongLink")
    head.type, head.size = tarfile.GNUTYPE_LONGNAME, 1
    shard.write_bytes((head.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")) * 3000)


def _end(shard: Path) -> int:
    """Where the last member ends."""
    with tarfile.open(shard) as tar:
        tar.getmembers()
        return tar.offset


def _rubbish(shard: Path) -> None:
    data = bytearray(shard.read_bytes())
    with tarfile.open(shard) as tar:
        header = tar.getmembers()[3].offset
    data[header : header + 512] = b"?" * 512
    shard.write_bytes(data)


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut in a member": (lambda s: _cut(s, lambda n: _end(s) - 600), "can't read the shard|is cut off"),
    "cut in a header": (lambda s: _cut(s, lambda n: 100), "can't read the shard"),
    "cut between members": (lambda s: _cut(s, lambda n: _end(s)), "is cut off or damaged at byte"),
    "empty": (lambda s: s.write_bytes(b""), "can't read the shard"),
    "rubbish inside": (_rubbish, "is cut off or damaged at byte"),
    "text": (lambda s: s.write_text("hello" * 1000), "can't read the shard"),
    "compressed": (lambda s: s.write_bytes(gzip.compress(s.read_bytes())), "can't read the shard"),
    "a folder": (lambda s: (s.unlink(), s.mkdir()), r"has shards and the folder 000\.tar|can't read the shard"),
    "negative size": (_negative, r"can't read the shard .*-512|is cut off or damaged"),
    "negative size of a folder": (lambda s: _negative(s, b"5"), r"can't read the shard|is cut off or damaged"),
    "negative size of a long name": (lambda s: _negative(s, b"L"), r"can't read the shard|is cut off or damaged"),
    "negative size of a header": (lambda s: _negative(s, b"x"), r"can't read the shard|is cut off or damaged"),
    "negative size by a header": (_negative_by_pax, r"can't read the shard|is cut off or damaged"),
    "headers without end": (_many_heads, "can't read the shard"),
    "a pipe": (lambda s: (s.unlink(), os.mkfifo(s)), "isn't a plain file"),
    "a class that isn't UTF-8": (lambda s: add(s, "r\udce9d/0.png", b"x"), r"the class 'r\\\\xe9d' isn't UTF-8"),
    "out by dots": (lambda s: add(s, "../red/0.png", b"x"), "leads out of the shard"),
    "out by a root": (lambda s: add(s, "/red/0.png", b"x"), "leads out of the shard"),
    "link": (lambda s: add(s, "red/l.png", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "is a link or no plain"),
    "hard link": (lambda s: add(s, "red/l.png", type=tarfile.LNKTYPE, linkname="red/0.png"), "is a link or no plain"),
    "device": (lambda s: add(s, "red/d.png", type=tarfile.CHRTYPE), "is a link or no plain"),
    "no class": (lambda s: add(s, "0.png", b"x"), "isn't <class>/<name>"),
    "too deep": (lambda s: add(s, "train/red/0.png", b"x"), "isn't <class>/<name>"),
    "class only in train": (lambda s: add(s, "green/0.png", b"x"), "class 'green' is only in"),
    "a name of 200,000 letters": (lambda s: add(s, "c" * 200_000 + "/0.png", b"x"), "a name of more than 512 letters$"),
    "its size beyond any disk": (lambda s: add(s, "red/0.png", pax_headers={"size": str(2**63)}), "can't read the sha"),
    "folder beside": (lambda s: (s.parent / "red").mkdir(), "has shards and the folder red/"),
    "no test": (lambda s: [p.unlink() for p in (s.parent.parent / "test").iterdir()], "has no shards with images"),
}


@pytest.mark.parametrize("case", ODD)
def test_a_wrong_shard_is_one_line_that_names_it(case: str, shards: Path) -> None:
    damage, expected = ODD[case]
    damage(shards / "train" / "000.tar")
    with pytest.raises(DataError, match=expected) as caught:
        load_data(str(shards), 16)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    assert str(shards) in str(caught.value)
