"""What is done with a finished artifact: `check`, `zip_artifact`, `unzip`, `triton`."""

from __future__ import annotations

from pathlib import Path

from hwnas.artifacts.archive import unzipped
from hwnas.artifacts.archive import zip_artifact as zip_folder
from hwnas.artifacts.bundle import Artifact, load_artifact
from hwnas.artifacts.check import check_artifact
from hwnas.artifacts.triton import Repository, write_repository
from hwnas.errors import CheckError
from hwnas.progress import Progress
from hwnas.records.artifact import CheckRecord


def check(artifact: Artifact | Path | str, *, trusted: bool = False, progress: Progress | None = None) -> CheckRecord:
    """Hold everything in an artifact, a folder or a zip file, against its manifest, its arch and PyTorch's logits.

    Args:
        artifact: to check.
        trusted: whether engines that nothing vouches for may be loaded.
        progress: called with (what, done, total, note).

    Raises:
        ModelError: there is no manifest, a malformed one, or an archive that could do harm: nothing can be checked.
    """
    return check_artifact(_path(artifact), trusted=trusted, progress=progress)


def zip_artifact(artifact: Artifact | Path | str, output: Path | str) -> int:
    """Pack an artifact into one file, and return its bytes; equal artifacts give equal files.

    Raises:
        ModelError: it isn't an artifact, or a file is missing or was altered.
        OutputError: the output exists or can't be written.
    """
    return zip_folder(_path(artifact), Path(output))


def unzip(
    archive: Path | str, output: Path | str, *, trusted: bool = False, progress: Progress | None = None
) -> CheckRecord:
    """Unpack an artifact into a new folder and check it; what misses a check isn't kept.

    Args:
        archive: that :func:`zip_artifact` wrote.
        output: the folder to make.
        trusted: whether engines that nothing vouches for may be loaded.
        progress: called with (what, done, total, note).

    Raises:
        CheckError: a check was missed.
        ModelError: it isn't the archive of an artifact, or one that could do harm.
        OutputError: the output exists or can't be written.
    """
    with unzipped(Path(archive), Path(output)) as folder:
        found = check_artifact(folder, trusted=trusted, progress=progress)
        refuse_missed(found, archive)
    return found.model_copy(update={"artifact": str(output)})


def refuse_missed(found: CheckRecord, path: Path | str) -> None:
    """Raises:
    CheckError: a check was missed; ``path`` is named.
    """
    if found.missed:
        first = found.missed[0]
        raise CheckError(
            f"{path} misses {len(found.missed)} of {len(found.checks)} checks: {first.about}: {first.text}"
        )


def triton(
    artifact: Artifact | Path | str, output: Path | str, *, name: str | None = None, queue_delay_us: int = 100
) -> Repository:
    """Write a model repository for NVIDIA's Triton Inference Server; see :mod:`hwnas.artifacts.triton`.

    Args:
        artifact: whose files.
        output: the folder to make.
        name: that models' names begin with; the artifact folder's when None.
        queue_delay_us: how long a request may wait to be batched with others, in microseconds.

    Raises:
        ConfigError: a name that isn't one for a model, a negative delay, or no file that Triton can serve.
        ModelError: a file is missing or was altered.
        OutputError: the output exists already or can't be written.
    """
    opened = artifact if isinstance(artifact, Artifact) else load_artifact(Path(artifact))
    return write_repository(opened, Path(output), name=name, queue_delay_us=queue_delay_us)


def _path(artifact: Artifact | Path | str) -> Path:
    return artifact.path if isinstance(artifact, Artifact) else Path(artifact)
