"""A kit's zip file, opened as something that may be damaged or made to do harm; and the seal on what comes back.

Part of profiling kits: Python ≥ 3.8, standard library and numpy only.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
import zipfile
import zlib
from typing import TYPE_CHECKING

from hwnas.errors import KitError
from hwnas.profile.run import Model

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

KIT_SCHEMA = "hwnas-kit/1"
DESCRIPTION = "kit.json"
_NAME = re.compile(r"__main__\.py|kit\.json|models/[0-9]{4,6}\.bin|[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*\.py")
_MOST_FILES = 100_000
_MOST_BYTES = {"models": 1 << 31, "rest": 1 << 26}  # of one file: what protobuf can hold, and far more than code needs
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError)


class KitFile:
    """A kit, read without unpacking anything.

    Attributes:
        sha256: of its description, which holds the hashes of all else: what tells one kit from another.
        content: the description: ``plan``, ``models`` (one per entry of the plan), ``runtime``, ``sources``.

    Raises:
        KitError: not a kit of this version, a file in it is missing, damaged or too large, or one that no kit has: a link,
            a second of the same name, a path that leaves the kit.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(str(path))
        except FileNotFoundError:
            raise KitError("there is no kit {}".format(path)) from None
        except _DAMAGED as problem:
            raise KitError("{} isn't a kit, or is damaged ({}); copy it again".format(path, problem)) from None
        self._sizes = _checked_sizes(self._zip, path)
        data = self._read(DESCRIPTION)
        self.sha256 = hashlib.sha256(data).hexdigest()
        try:
            self.content = json.loads(data.decode())  # type: dict[str, Any]
            if self.content["schema"] != KIT_SCHEMA:
                raise KitError(
                    "{} has schema {!r}, this program reads {}".format(path, self.content["schema"], KIT_SCHEMA)
                )
            for name, sha256 in self.content["sources"].items():
                self._verified(name, sha256)
            for model in self.content["models"]:
                if "failed" not in model and self._sizes[model["file"]] != model["bytes"]:
                    raise ValueError("{} has another size than it should".format(model["file"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
            raise KitError("{} is damaged ({}); copy it again".format(path, problem)) from None

    def model(self, entry: int) -> Model:
        """The model of an entry of the plan.

        Raises:
            KitError: it is damaged.
            ModelError: the runtime can't have it, as was found when the kit was built.
        """
        described = self.content["models"][entry]
        if "failed" in described:
            from hwnas.errors import ModelError

            raise ModelError(described["failed"])
        return Model(self._verified(described["file"], described["sha256"]), tuple(described["input_chw"]))

    def model_bytes(self) -> int:
        """Of the models of all entries, loaded side by side."""
        return sum(model.get("bytes", 0) for model in self.content["models"])

    def _verified(self, name: str, sha256: str) -> bytes:
        data = self._read(name)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise KitError("{}: {} was altered or damaged; copy the kit again".format(self._path, name))
        return data

    def _read(self, name: str) -> bytes:
        try:
            return self._zip.read(name)
        except (KeyError,) + _DAMAGED as problem:
            raise KitError("{}: {} is missing or damaged ({}); copy the kit again".format(self._path, name, problem)) from None


def _checked_sizes(archive: zipfile.ZipFile, path: Path) -> dict[str, int]:
    """Size of each file when unpacked, by name."""
    found = {}  # type: dict[str, int]
    if len(archive.infolist()) > _MOST_FILES:
        raise KitError("{} isn't a kit: it has more than {} files".format(path, _MOST_FILES))
    for file in archive.infolist():
        most = _MOST_BYTES["models" if file.filename.startswith("models/") else "rest"]
        mode = file.external_attr >> 16
        if not _NAME.fullmatch(file.filename) or "\0" in file.orig_filename:
            wrong = "has a name that no file of a kit has"
        elif file.filename in found:
            wrong = "is there twice"
        elif mode and not stat.S_ISREG(mode):
            wrong = "is a link or something else that isn't a file"
        elif file.flag_bits & 1 or file.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            wrong = "is encrypted or packed in a way that no kit uses"
        elif file.file_size > most or file.file_size > 1100 * file.compress_size + 1100:  # deflate packs 1032 to 1
            wrong = "would unpack to {} bytes".format(file.file_size)
        else:
            found[file.filename] = file.file_size
            continue
        raise KitError("{} isn't a kit that hwnas built: {!r:.100} {}".format(path, file.filename, wrong))
    return found


def canonical(data: Any) -> bytes:
    """The one way to write plain values down, for hashing.

    Raises:
        ValueError: a number isn't finite.
    """
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def seal(data: dict[str, Any]) -> str:
    """SHA-256 of everything in a result but its own ``sha256``: shows damage and careless edits, proves no origin."""
    return hashlib.sha256(canonical({key: value for key, value in data.items() if key != "sha256"})).hexdigest()
