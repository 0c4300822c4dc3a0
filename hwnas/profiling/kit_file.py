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

from hwnas.arrays import Port
from hwnas.errors import KitError, ModelError
from hwnas.profiling.run import Model

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

KIT_SCHEMA = "hwnas-kit/4"
DESCRIPTION, SEAL = "kit.json", "kit.sha256"
_NAME = re.compile(r"kit\.(json|sha256)|models/[0-9]{4,6}\.bin|[A-Za-z_]\w*(/[A-Za-z_]\w*)*\.py", re.ASCII)
_MOST_FILES = 100_000
_MOST_BYTES = {"models": 1 << 31, "rest": 1 << 26}  # of one file: what protobuf can hold, and far more than code needs
_ZLIB_OUT_OF_MEMORY = "Error -4 "  # Z_MEM_ERROR, of which zlib.error says no more than this
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError)


class KitFile:
    """A kit, read without unpacking anything.

    Attributes:
        sha256: of its description, which holds the hashes of all else: what tells one kit from another.
        content: the description: ``plan``, ``models`` (one per entry of the plan), ``runtime``, ``sources``.

    Raises:
        KitError: not a kit of this version; a file in it is missing, damaged or too large, or is one that no kit has: a
            link, a second of the same name, a path that leaves the kit.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise KitError(f"{path} isn't a kit: it isn't a plain file")
        try:
            self._zip = zipfile.ZipFile(str(path))
        except FileNotFoundError:
            raise KitError(f"there is no kit {path}") from None
        except _DAMAGED as problem:
            raise KitError(f"{path} isn't a kit, or is damaged ({problem}); copy it again") from None
        self._sizes = _checked_sizes(self._zip, path)
        data = self._read(DESCRIPTION)
        self.sha256 = hashlib.sha256(data).hexdigest()
        try:
            self.content: dict[str, Any] = json.loads(data.decode())
            if self.content["schema"] != KIT_SCHEMA:
                raise KitError(f"{path} has schema {self.content['schema']!r:.80}, this program reads {KIT_SCHEMA}")
            if self._read(SEAL) != self.sha256.encode():
                raise KitError(f"{path}: {DESCRIPTION} was altered or damaged; copy the kit again")
            for name, sha256 in self.content["sources"].items():
                self._verified(name, sha256)
            for model in self.content["models"]:
                if "failed" not in model and self._sizes[model["file"]] != model["bytes"]:
                    raise ValueError(f"{model['file']} has another size than it should")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
            raise KitError(f"{path} is damaged ({problem}); copy it again") from None

    def model(self, entry: int) -> Model:
        """The model of an entry of the plan.

        Raises:
            KitError: it is damaged.
            ModelError: the runtime can't have it, as was found when the kit was built.
        """
        described = self.content["models"][entry]
        if "failed" in described:
            raise ModelError(described["failed"])
        inputs = tuple(Port(name, dtype, tuple(shape)) for name, dtype, shape in described["inputs"])
        return Model(
            self._verified(described["file"], described["sha256"]), inputs, described["as_is"], described["copies"]
        )

    def kernels(self) -> list[int]:
        """Entries that are a kernel alone: what was cut out of a model may crash or hang whoever runs it."""
        return [entry for entry, model in enumerate(self.content["models"]) if model.get("as_is")]

    def model_bytes(self) -> int:
        """Of the models of all entries, which are loaded side by side."""
        return sum(model.get("bytes", 0) for model in self.content["models"])

    def _verified(self, name: str, sha256: str) -> bytes:
        data = self._read(name)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise KitError(f"{self._path}: {name} was altered or damaged; copy the kit again")
        return data

    def _read(self, name: str) -> bytes:
        try:
            return self._zip.read(name)
        except (KeyError, *_DAMAGED) as problem:
            if str(problem).startswith(_ZLIB_OUT_OF_MEMORY):
                raise MemoryError from None
            raise KitError(f"{self._path}: {name} is missing or damaged ({problem}); copy the kit again") from None


def _checked_sizes(archive: zipfile.ZipFile, path: Path) -> dict[str, int]:
    """Size of each file when unpacked, by name."""
    found: dict[str, int] = {}
    if len(archive.infolist()) > _MOST_FILES:
        raise KitError(f"{path} isn't a kit: it has more than {_MOST_FILES} files")
    for file in archive.infolist():
        most = _MOST_BYTES["models" if file.filename.startswith("models/") else "rest"]
        kind = stat.S_IFMT(file.external_attr >> 16)
        if not _NAME.fullmatch(file.filename) or "\0" in file.orig_filename:
            wrong = "has a name that no file of a kit has"
        elif file.filename in found:
            wrong = "is there twice"
        elif kind not in (0, stat.S_IFREG):
            wrong = "is a link or something else that isn't a file"
        elif file.flag_bits & 1 or file.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            wrong = "is encrypted or packed in a way that no kit uses"
        elif file.file_size > most or file.file_size > 1100 * file.compress_size + 1100:  # deflate packs 1032 to 1
            wrong = f"would unpack to {file.file_size} bytes"
        else:
            found[file.filename] = file.file_size
            continue
        raise KitError(f"{path} isn't a kit that hwnas built: {file.filename!r:.100} {wrong}")
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
