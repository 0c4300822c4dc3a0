"""What TensorRT would otherwise find out anew: tactic timings of a build, kernels compiled at load."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from hwnas.errors import OutputError
from hwnas.files import write_atomic

PLACES = ("memory", "disk")
"""Where it is kept: by the runtime's object, or in a file of the user's cache folder as well."""


class Cache:
    """Bytes in TensorRT's own form, which it checks itself before it takes them.

    Compiled kernels are native code, so a file of them is read from the user's own cache folder and nowhere else.
    Without a ``path`` they are kept for this object's life only.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._content: bytes | None = None

    def read(self) -> bytes:
        """What was kept last; nothing where there is nothing, or it can't be read."""
        if self._content is None and self._path is not None:
            with suppress(OSError):
                self._content = self._path.read_bytes()
        return self._content or b""

    def keep(self, content: bytes) -> None:
        """Instead of what was kept before. A folder that can't be written costs time, not the build."""
        if content != self._content and self._path is not None:
            try:
                write_atomic(self._path, content)
            except OutputError:
                self._path = None
        self._content = content


def cache_path(runtime: str, version: str, gpu: str, capability: str) -> Path:
    """The file for one runtime, version and GPU: what was learnt on another is worth nothing, or wrong."""
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    parts = (re.sub(r"[^\w.]+", "_", part) for part in (runtime, version, gpu, capability))
    return Path(folder, "hwnas", "-".join(parts))
