"""What a training writes beside weights, and what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue

from hwnas.errors import CheckpointError, DataError
from hwnas.record import FileRecord, Fraction, Record
from hwnas.records.model import ImageCount, Preprocessing
from hwnas.space.ref import SpaceRef


class TrainRecord(Record):
    """What came out of a training.

    Attributes:
        result: the supernet's run folder, or the MODEL folder of a network.
        accuracy: in [0, 1]. Of a supernet: inherited, on the validation part, by arch; of a network: ``validation``
            and ``test``.
        accuracy_images: on how many images each was found; older files don't say.
    """

    run: Path
    result: Path
    accuracy: dict[str, Fraction]
    accuracy_images: dict[str, ImageCount] = Field(default_factory=dict)


Run = TrainRecord | Path | str
"""A training wherever one is asked for: what it returned, or its run folder."""


def run_folder(run: Run) -> Path:
    """Where a training lies."""
    return run.run if isinstance(run, TrainRecord) else Path(run)


def run_folders(runs: Run | Sequence[Run]) -> list[Path]:
    """Where one training lies, or several."""
    return [run_folder(run) for run in ([runs] if isinstance(runs, TrainRecord | Path | str) else runs)]


class Facts(Record):
    """What a learner says at the end of an epoch.

    Attributes:
        accuracy: the task's first metric on the validation part, by what it was measured of.
        validation: all metrics of a network on the validation part, by name.
        updates_per_choice: of a supernet, by layer and choice.
        spread_of_counts: the largest difference, over layers, between the most and the least trained choice of one.
    """

    accuracy: dict[str, float]
    validation: dict[str, float] | None = None
    updates_per_choice: tuple[tuple[int, ...], ...] | None = None
    spread_of_counts: int | None = None
    notes: dict[str, JsonValue] | None = None


class SkippedImages(Record):
    """Images that couldn't be decoded: how many, and the names of the first."""

    count: int
    first: tuple[str, ...]


class LogLine(Facts):
    """An epoch: a line of ``log.jsonl``. What doesn't apply isn't there.

    Attributes:
        epoch: from 0.
        loss: mean over updates and their paths.
        learning_rate: of the last update.
        images_per_second: a path that sees an image counts one.
        skipped_images: so far; None where there are none.
        ignored_files: that lie with the images and aren't any; None where there are none.
    """

    epoch: int
    loss: float
    learning_rate: float
    images_per_second: float
    skipped_images: SkippedImages | None = None
    ignored_files: int | None = None

    def plain(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)


class DataRecord(FileRecord):
    """``data.json``: what the data set of a run was like when it began."""

    SCHEMA = "hwnas-data/1"
    REMEDY = "train anew"
    ERROR = DataError

    classes: tuple[str, ...]
    train_images: int
    validation_images: int
    test_images: int
    sha256: str


class TrainedOn(Record):
    """The data set that a supernet was trained on.

    Attributes:
        source, held_out, corrupt_images: what ``load_data`` takes.
        sha256: ``Data.fingerprint``.
    """

    source: str
    held_out: float
    corrupt_images: Literal["fail", "skip"]
    sha256: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing


class SupernetRecord(FileRecord):
    """``supernet.json``: all that it takes to open a trained supernet, wherever its run folder lies.

    Attributes:
        stabilizers: whether there is one on every skip.
        task: kind of what it learnt.
        accuracy: inherited accuracy on the validation part of a few archs, in [0, 1].
        accuracy_images: on how many images each was found; older files don't say.
    """

    SCHEMA = "hwnas-supernet/2"
    REMEDY = "train the supernet anew"
    ERROR = CheckpointError

    space: SpaceRef
    stabilizers: bool
    data: TrainedOn
    task: str
    accuracy: dict[str, Fraction]
    accuracy_images: dict[str, ImageCount] = Field(default_factory=dict)
    weights_sha256: str
