"""Zip files: the same artifact gives the same bytes, and what could do harm leaves no trace."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from hwnas.artifacts import archive as archive_module
from hwnas.artifacts.archive import unzipped, zip_artifact
from hwnas.artifacts.check import check_artifact
from hwnas.errors import CheckError, ModelError, OutputError
from tests.artifacts.conftest import Copy, Shipped

Entry = tuple[zipfile.ZipInfo | str, bytes]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def unzip(source: Path, output: Path) -> None:
    with unzipped(source, output):
        pass


def test_what_was_packed_comes_out(shipped: Shipped, tmp_path: Path) -> None:
    zip_artifact(shipped.path, tmp_path / "a.zip")
    unzip(tmp_path / "a.zip", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(shipped.path)
    assert check_artifact(tmp_path / "a.zip").checks == check_artifact(shipped.path).checks
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:  # nothing but plain files of ours, as any tool sees them
        assert archive.testzip() is None
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {stat.S_IFREG | 0o644}


def test_the_same_artifact_gives_the_same_bytes(copy: Copy, shipped: Shipped, tmp_path: Path) -> None:
    for name in sorted(os.listdir(copy.path), reverse=True):  # other times, other order in the folder
        content = (copy.path / name).read_bytes()
        (copy.path / name).unlink()
        (copy.path / name).write_bytes(content)
        os.utime(copy.path / name, (time.time() - 10**6,) * 2)
    (copy.path / "of somebody else").write_bytes(b"")
    zip_artifact(shipped.path, tmp_path / "a.zip")
    zip_artifact(copy.path, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_an_altered_artifact_is_not_packed(copy: Copy, tmp_path: Path) -> None:
    (copy.path / "labels.json").write_text("[]")
    with pytest.raises(ModelError, match="hash differs"):
        zip_artifact(copy.path, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_outputs_that_exist_are_kept(shipped: Shipped, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        zip_artifact(shipped.path, tmp_path / "there")
    zip_artifact(shipped.path, tmp_path / "a.zip")
    with pytest.raises(OutputError, match="exists already"):
        unzip(tmp_path / "a.zip", tmp_path / "there")
    assert (tmp_path / "there").read_text() == "mine"


def entry(name: str, kind: int = stat.S_IFREG, system: int = 3) -> zipfile.ZipInfo:
    file = zipfile.ZipInfo(name)
    file.external_attr = (kind | 0o777) << 16
    file.create_system = system
    return file


def packed(files: Sequence[Entry]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, content in files:
            archive.writestr(file, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def good(shipped: Shipped) -> list[Entry]:
    return [(name, content) for name, content in contents(shipped.path).items()]


def encrypted(content: bytes) -> bytes:
    """The flag of encryption set on every entry."""
    changed = bytearray(content)
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = changed.find(magic)
        while at >= 0:
            changed[at + offset] |= 1
            at = changed.find(magic, at + 4)
    return bytes(changed)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ([("../trace", b"x")], "has a name that no file"),
        ([("..\\trace", b"x")], "has a name that no file"),
        ([("a/../../trace", b"x")], "has a name that no file"),
        ([("/trace", b"x")], "has a name that no file"),
        ([("C:trace", b"x")], "has a name that no file"),
        ([("C:\\trace", b"x")], "has a name that no file"),
        ([("folder/", b"")], "has a name that no file"),
        ([(".", b"")], "has a name that no file"),
        ([("..", b"")], "has a name that no file"),
        ([("con.txt", b"")], "has a name that no file"),
        ([("trace.", b"")], "has a name that no file"),
        ([("tr\u00e4ce", b"")], "has a name that no file"),
        ([("x" * 300, b"")], "has a name that no file"),
        ([(entry("trace", stat.S_IFLNK), b"/etc/passwd")], "is a link"),
        ([(entry("trace", stat.S_IFLNK, system=0), b"/etc/passwd")], "is a link"),
        ([(entry("trace", stat.S_IFDIR), b"")], "isn't a file"),
        ([(entry("trace", stat.S_IFIFO), b"")], "isn't a file"),
        ([("labels.json", b"[]")], "is there twice"),
        ([("LABELS.json", b"[]")], "is there twice"),
        ([("trace", b"x")], "in the archive and not in manifest.json"),
        ([("trace", bytes(10**8))], "would unpack to 100000000 bytes"),
        ([(f"f{number}", b"") for number in range(1001)], "more than the 1000"),
    ],
)
def test_archives_that_could_do_harm(shipped: Shipped, tmp_path: Path, extra: list[Entry], reason: str) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "x.zip").write_bytes(packed([*good(shipped), *extra]))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ModelError, match=reason) as caught:
        unzip(inner / "x.zip", inner / "out")
    assert len(str(caught.value).splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(ModelError, match=reason):
        check_artifact(inner / "x.zip")


@pytest.mark.parametrize("content", [b"not a zip file", b"", b"PK\x05\x06", b"PK\x03\x04" * 100])
def test_files_that_no_archive_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(ModelError, match="isn't a zip file, or is damaged"):
        unzip(tmp_path / "x.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_archives_of_something_else(shipped: Shipped, tmp_path: Path) -> None:
    cases: list[tuple[bytes, str]] = [
        (packed([("labels.json", b"[]")]), "holds no manifest.json"),
        (packed([("manifest.json", b"[]")]), "manifest.json"),
        (packed([("manifest.json", b"[" * 10**6)]), "would unpack|isn't JSON"),
        (packed([file for file in good(shipped) if file[0] != "labels.json"]), "not in the archive"),
        (packed([(n, b"[]" if n == "labels.json" else c) for n, c in good(shipped)]), "hash differs"),
        (encrypted(packed(good(shipped))), "is encrypted"),
        (packed([*good(shipped), ("labels_json", b"")]).replace(b"labels_json", b"labels\0json"), "has a name"),
    ]
    for content, reason in cases:
        (tmp_path / "x.zip").write_bytes(content)
        with pytest.raises(ModelError, match=reason) as caught:
            unzip(tmp_path / "x.zip", tmp_path / "out")
        assert len(str(caught.value).splitlines()) == 1
        assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def test_damage_on_the_way_is_found(shipped: Shipped, tmp_path: Path) -> None:
    """A byte of each file flipped, and a lie about a size."""
    zip_artifact(shipped.path, tmp_path / "a.zip")
    whole = (tmp_path / "a.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        places = [file.header_offset + 30 + len(file.filename) + file.file_size // 2 for file in archive.infolist()]
    for place in places:
        (tmp_path / "x.zip").write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        with pytest.raises(ModelError):
            unzip(tmp_path / "x.zip", tmp_path / "out")
    directory = whole.rindex(b"PK\x01\x02")
    lied = bytearray(whole)
    lied[directory + 24 : directory + 28] = (3).to_bytes(4, "little")
    (tmp_path / "x.zip").write_bytes(bytes(lied))
    with pytest.raises(ModelError):
        unzip(tmp_path / "x.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_all_of_it_may_not_be_too_large(shipped: Shipped, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zip_artifact(shipped.path, tmp_path / "a.zip")
    total = sum(map(len, contents(shipped.path).values()))
    monkeypatch.setattr(archive_module, "MAX_BYTES", total)
    unzip(tmp_path / "a.zip", tmp_path / "out")
    monkeypatch.setattr(archive_module, "MAX_BYTES", total - 1)
    with pytest.raises(ModelError, match="would unpack"):
        unzip(tmp_path / "a.zip", tmp_path / "again")


def test_what_misses_a_check_is_not_kept(copy: Copy, tmp_path: Path) -> None:
    """The folder appears when the block ends, so that whoever unpacks can look first."""
    copy.replace("labels.json", json.dumps(["one"]).encode())
    zip_artifact(copy.path, tmp_path / "a.zip")

    def looked_at() -> None:
        with unzipped(tmp_path / "a.zip", tmp_path / "out") as folder:
            assert [finding.about for finding in check_artifact(folder).checks if finding.passed is False] == ["labels"]
            raise CheckError("missed")

    with pytest.raises(CheckError):
        looked_at()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "copy"]


def test_the_hashes_are_those_of_the_files(shipped: Shipped, tmp_path: Path) -> None:
    zip_artifact(shipped.path, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        listed = json.loads(archive.read("manifest.json"))["sha256"]
        assert {name: hashlib.sha256(archive.read(name)).hexdigest() for name in listed} == listed
