"""Artifacts as zip files: the same folder gives the same bytes, and a foreign archive is looked at before it is used.

A file's name, kind and size are checked before anything is written, its content while it is. What isn't in the
manifest isn't unpacked.
"""

from __future__ import annotations

import io
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from hwnas.artifacts.bundle import checked_bytes, load_artifact
from hwnas.errors import ModelError, OutputError
from hwnas.files import new_folder, plain_file, refuse_existing, write_atomic
from hwnas.records.artifact import MANIFEST, SIGNATURE, ArtifactRecord
from hwnas.records.target import PlainName

MAX_FILES = 1000
MAX_BYTES = 4 * 2**30
MAX_MANIFEST_BYTES = 16 * 2**20
MAX_RATIO = 200
"""Of unpacked to packed bytes; deflate reaches 1032 on zeros alone, weights hardly 2."""

_CHUNK = 2**24
_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can hold
_PLAIN_NAME = TypeAdapter[str](PlainName)


def zip_artifact(artifact: Path, output: Path) -> int:
    """Pack an artifact, and return the archive's bytes. Equal artifacts give equal archives.

    Nothing is compressed: weights hardly shrink, and the result would depend on the version of zlib.

    Raises:
        ModelError: it isn't an artifact, or a file is missing or was altered.
        OutputError: the output exists or can't be written.
    """
    refuse_existing(output)
    content = packed(artifact)
    write_atomic(output, content)
    return len(content)


def packed(artifact: Path) -> bytes:
    """The archive of an artifact's folder, a signature included; raises as :func:`zip_artifact`."""
    manifest = load_artifact(artifact).manifest
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in (MANIFEST, SIGNATURE):
            if (path := artifact / name).is_file() and not path.is_symlink():
                _add(archive, name, path.read_bytes())
        for name in sorted(manifest.sha256):
            _add(archive, name, checked_bytes(artifact, name, manifest.sha256))
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    file = zipfile.ZipInfo(name, _DATE)
    file.create_system = 3  # Unix, wherever it is written
    file.external_attr = (stat.S_IFREG | 0o644) << 16
    archive.writestr(file, content)


@contextmanager
def unzipped(source: Path, output: Path) -> Iterator[Path]:
    """Unpack an artifact into a new folder, every hash checked on the way.

    The folder is yielded under a temporary name. ``output`` appears when the block ends, and not at all if it raises.

    Raises:
        ModelError: it isn't the archive of an artifact, or one that could do harm.
        OutputError: the output exists or can't be written.
    """
    with new_folder(output) as folder:
        _unpack(source, folder)
        yield folder


@contextmanager
def artifact_folder(path: Path) -> Iterator[Path]:
    """The folder of an artifact that may be a zip file: that is unpacked for as long as it is looked at."""
    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory() as temporary:
        _unpack(path, Path(temporary))
        yield Path(temporary)


def _unpack(source: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(plain_file(source, ModelError)) as archive:
            entries = {entry.filename: entry for entry in _harmless(archive.infolist(), source)}
            if MANIFEST not in entries:
                raise ModelError(f"{source} holds no {MANIFEST}; it isn't the archive of an artifact")
            ours = [name for name in (MANIFEST, SIGNATURE) if name in entries]
            for name in ours:
                if entries[name].file_size > MAX_MANIFEST_BYTES:
                    raise ModelError(f"{source}: {name} would unpack to {entries[name].file_size} bytes")
                _extract(archive, name, folder)
            listed = ArtifactRecord.read(folder / MANIFEST).sha256
            if odd := sorted(entries.keys() ^ {*ours, *listed}):
                where = "in the archive and not" if odd[0] in entries else "not in the archive and"
                raise ModelError(f"{source}: {odd[0]!r} is {where} in {MANIFEST}")
            for name in listed:
                _extract(archive, name, folder)
                checked_bytes(folder, name, listed)
    except OSError as error:
        raise ModelError(f"can't read {source}: {error.strerror}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:  # zipfile raises all of them
        raise ModelError(f"{source} isn't a zip file, or is damaged: {' '.join(str(error).split())}") from None


def _extract(archive: zipfile.ZipFile, name: str, folder: Path) -> None:
    with archive.open(name) as source:
        while chunk := source.read(_CHUNK):
            try:
                with open(folder / name, "ab") as file:
                    file.write(chunk)
            except OSError as error:
                raise OutputError(f"can't write {name}: {error.strerror}; check the free space") from None


def _harmless(entries: list[zipfile.ZipInfo], source: Path) -> list[zipfile.ZipInfo]:
    """The entries, if each is a plain file of a sane size, of a name that is fine on every system."""

    def refuse(entry: zipfile.ZipInfo, why: str) -> ModelError:
        return ModelError(f"{source}: {entry.filename[:200]!r} {why}; nothing was unpacked")

    if len(entries) > MAX_FILES:
        raise ModelError(f"{source} holds {len(entries)} files, more than the {MAX_FILES} that an artifact may have")
    seen: set[str] = set()
    total = 0
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not _is_plain(entry.orig_filename):
            raise refuse(entry, "has a name that no file of an artifact has")
        if kind not in (0, stat.S_IFREG):
            raise refuse(entry, "is a link or something else that isn't a file")
        if entry.flag_bits & 1:
            raise refuse(entry, "is encrypted")
        if entry.filename.lower() in seen:
            raise refuse(entry, "is there twice, maybe in other case")
        seen.add(entry.filename.lower())
        total += entry.file_size
        if total > MAX_BYTES or entry.file_size > MAX_RATIO * max(entry.compress_size, 1000):
            raise refuse(entry, f"would unpack to {entry.file_size} bytes from {entry.compress_size}")
    return entries


def _is_plain(name: str) -> bool:
    try:
        _PLAIN_NAME.validate_python(name)
    except ValidationError:
        return False
    return True
