"""An artifact's archive, unpacked and checked; and what a missed check is to whoever asked for it."""

from __future__ import annotations

from pathlib import Path

from hwnas.artifacts.archive import unzipped
from hwnas.artifacts.check import check_artifact
from hwnas.errors import CheckError
from hwnas.progress import Progress
from hwnas.records.artifact import CheckRecord


def unzip(
    archive: Path | str, output: Path | str, *, trusted: bool = False, progress: Progress | None = None
) -> CheckRecord:
    """Unpack an artifact into a new folder and check it; what misses a check isn't kept.

    Args:
        archive: that :func:`hwnas.artifacts.archive.zip_artifact` wrote.
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
