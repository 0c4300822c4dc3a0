"""An artifact's archive, unpacked and checked; and what a missed check is to whoever asked for it."""

from __future__ import annotations

from pathlib import Path

from hwnas.artifacts.archive import unzipped
from hwnas.artifacts.check import check_artifact
from hwnas.artifacts.check_file import LIMIT_S
from hwnas.errors import CheckError
from hwnas.progress import Progress
from hwnas.records.artifact import CheckRecord


def unzip(
    archive: Path | str,
    output: Path | str,
    *,
    key: Path | None = None,
    trusted: bool = False,
    limit_s: int = LIMIT_S,
    progress: Progress | None = None,
) -> CheckRecord:
    """Unpack an artifact into a new folder and check it; what misses a check isn't kept.

    Args:
        archive: that :func:`hwnas.artifacts.archive.zip_artifact` wrote.
        output: the folder to make.
        key: a public key's file; that its owner signed the artifact is checked then.
        trusted: whether engines that nothing vouches for may be loaded.
        limit_s: seconds that a file may take to be checked.
        progress: called with (what, done, total, note).

    Raises:
        CheckError: a check was missed.
        ConfigError: the key isn't one.
        ModelError: it isn't the archive of an artifact, or one that could do harm.
        OutputError: the output exists or can't be written.
    """
    with unzipped(Path(archive), Path(output)) as folder:
        found = check_artifact(folder, key=key, trusted=trusted, limit_s=limit_s, progress=progress)
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
