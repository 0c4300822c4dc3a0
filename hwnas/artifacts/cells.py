"""A bench's cells: one file on one runtime with some threads and images per inference, and loading it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwnas.arrays import Array
from hwnas.artifacts.bundle import Artifact, checked_bytes
from hwnas.artifacts.entry import taking_images
from hwnas.artifacts.formats.base import get_format
from hwnas.artifacts.parity import Evidence, compare
from hwnas.artifacts.process_memory import peak_memory_mb
from hwnas.artifacts.reference import REFERENCE, read_reference
from hwnas.errors import ConfigError, HwnasError, RuntimeMissingError
from hwnas.onnx.stand_in import stand_in
from hwnas.records.artifact import ExportedFile, Parity
from hwnas.records.bench import BenchCell
from hwnas.runtimes.base import Session

TAKE_ONNX = ("onnxruntime", "openvino", "torch")
"""Runtimes that load an ONNX file as it is."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A row of the table; the file's target names the runtime."""

    artifact: Artifact
    file: ExportedFile
    threads: int
    batch: int

    @property
    def runtime(self) -> str:
        return self.file.settings.runtime

    @property
    def named(self) -> BenchCell:
        return BenchCell(
            artifact=str(self.artifact.path), target=self.file.target, runtime=self.runtime, threads=self.threads,
            batch=self.batch,
        )  # fmt: skip

    @property
    def precision(self) -> str:
        return self.file.settings.precision

    @property
    def bytes(self) -> int:
        return self.file.bytes

    @property
    def as_exported(self) -> ExportedFile:
        """The file with the runtime that its target asked for."""
        return next(file for file in self.artifact.manifest.files if file.target == self.file.target)


def cells_of(
    artifacts: Sequence[Artifact], batches: Collection[int], threads: Collection[int], runtimes: Sequence[str]
) -> Iterator[Cell]:
    """Every file of every artifact on its target's runtime, or on those of ``runtimes`` that take it."""
    for artifact in artifacts:
        for file in artifact.manifest.files:
            own, fixed = file.settings.runtime, file.settings.batch.fixed
            can = dict.fromkeys((own, *TAKE_ONNX) if file.settings.format == "onnx" else (own,))
            for runtime in (name for name in can if name in (runtimes or (own,))):
                for number in threads:
                    for batch in [fixed] if fixed else batches:
                        yield Cell(artifact=artifact, file=_on(runtime, file), threads=number, batch=batch)


def _on(runtime: str, file: ExportedFile) -> ExportedFile:
    if runtime == file.settings.runtime:
        return file
    return file.model_copy(update={"settings": file.settings.model_copy(update={"runtime": runtime, "options": {}})})


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A cell's session and what it is timed with, an array for each input.

    Attributes:
        parity: to the network's reference, as exported; on another runtime than the target's own to that one; of
            somebody's model to its graph as it is; None where that can't run here.
        precisions: {precision: layers with weights that compute in it}, read back here.
        memory_mb: see :func:`hwnas.artifacts.process_memory.peak_memory_mb`.
    """

    session: Session
    feed: tuple[Array, ...]
    parity: Parity | None
    precisions: dict[str, int]
    memory_mb: float | None


class Loader:
    """Loads cells; ``trusted``: also engines that nothing vouches for."""

    def __init__(self, trusted: bool) -> None:
        self._trusted = trusted
        self._peaks_mb: dict[tuple[Path, str, str, int], float | None] = {}
        self._missing: dict[tuple[Path, str, str], RuntimeMissingError] = {}

    def load(self, cell: Cell) -> Loaded:
        """Load ``cell`` here, after a process of its own survived that.

        Raises:
            ConfigError: the file doesn't take the batch.
            ModelError: the file can't be loaded, or crashes its process.
            RuntimeMissingError: its runtime isn't here, or can't run here.
        """
        where = (cell.artifact.path, cell.file.target, cell.runtime)
        if where not in self._missing:
            try:
                return self._load(cell, where)
            except RuntimeMissingError as error:
                self._missing[where] = error
        raise self._missing[where]

    def _load(self, cell: Cell, where: tuple[Path, str, str]) -> Loaded:
        target, ports = cell.file.settings, cell.artifact.manifest.network.feed(cell.batch)
        if not target.batch.min <= cell.batch <= target.batch.max:
            raise ConfigError(f"it takes {target.batch.min} to {target.batch.max} images, not {cell.batch}")
        files, key = cell.artifact.read(cell.file), (*where, cell.batch)
        if key not in self._peaks_mb:  # threads hardly matter
            self._peaks_mb[key] = peak_memory_mb(files, target, ports, trusted=self._trusted)
        as_is = cell.artifact.open_as_is(cell.file, threads=cell.threads, trusted=self._trusted)
        session = taking_images(as_is, cell.artifact.normalization(cell.file))
        return Loaded(
            session=session,
            feed=tuple(map(stand_in, ports)),
            parity=cell.file.parity if cell.file == cell.as_exported else _parity_to_own(cell, session),
            precisions=get_format(target.format).precisions(files, as_is),
            memory_mb=self._peaks_mb[key],
        )


def _parity_to_own(cell: Cell, session: Session) -> Parity | None:
    try:
        own = cell.artifact.open(cell.as_exported)
    except HwnasError:
        return None
    artifact, batch = cell.artifact, cell.file.settings.batch
    network = artifact.manifest.network
    samples = read_reference(checked_bytes(artifact.path, REFERENCE, artifact.manifest.sha256), network).samples
    runtime, outputs = cell.as_exported.settings.runtime, dict(zip(network.gives, samples.run(own, batch), strict=True))
    evidence = Evidence(
        samples=samples, inputs=f"{REFERENCE}, beside {runtime}", outputs=outputs, source=runtime,
        classifies=network.classes is not None,
    )  # fmt: skip
    return compare(evidence, samples.run(session, batch))
