"""`similarity`: how alike the features are that the choices of each layer put out, skips and blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from hwnas.arguments import checked
from hwnas.arrays import Values
from hwnas.data.load import Data
from hwnas.errors import CheckpointError, whole
from hwnas.evaluation.similarity import feature_similarity, mean_similarities
from hwnas.files import refuse_existing, write_atomic
from hwnas.graph.graph import Op
from hwnas.progress import Progress
from hwnas.records.similarity import LayerSimilarity, RunSimilarity, SimilarityRecord
from hwnas.records.train import Run, run_folders
from hwnas.reporting.picture import find_browser
from hwnas.reporting.similarity import render_similarity, save_picture
from hwnas.training.trained import load_supernet, read_supernet_info


@checked
def similarity(
    runs: Run | Sequence[Run],
    *,
    output: Path | str | None = None,
    png: Path | str | None = None,
    images: int = 256,
    prefixes: int = 16,
    seed: int = 0,
    progress: Progress | None = None,
) -> SimilarityRecord:
    """Compare what the choices of a layer put out for the same input; see :func:`feature_similarity`.

    Args:
        runs: trainings of supernets of one space and one data set.
        output: an HTML page with heat maps to write.
        png: the same heat maps as a picture; takes chromium.
        images: of the validation part; all where there are fewer.
        prefixes: random paths to a layer's input.
        seed: of the prefixes.
        progress: called after each prefix.

    Raises:
        CheckpointError: runs of another space or other data than the first's, or one that isn't finished.
        DataError: the data set can't be read, or has fewer than 2 validation images.
        RuntimeMissingError: there is no browser for ``png``.
        OutputError: an output exists already or can't be written.
    """
    seed, prefixes = whole("seed", seed), whole("prefixes", prefixes, 1)
    for path in (output, png):
        if path:
            refuse_existing(Path(path))
    if png:
        find_browser()
    folders = run_folders(runs)
    _check_alike(folders)
    first = load_supernet(folders[0])
    data = first.data  # of all: loading it may take longer than the rest
    compared = tuple(_compared(run, data, images, prefixes, seed, progress) for run in folders)
    found = SimilarityRecord(
        space=first.info.space.name,
        images=min(images, len(data.validation.labels)),
        prefixes=prefixes,
        seed=seed,
        runs=compared,
    )
    if output:
        write_atomic(Path(output), render_similarity(found))
    if png:
        save_picture(found, Path(png))
    return found


def _check_alike(runs: Sequence[Path]) -> None:
    first, *others = [read_supernet_info(run) for run in runs]
    for run, info in zip(runs[1:], others, strict=True):
        for what, same in (
            ("space", info.space.fingerprint == first.space.fingerprint),
            ("data", info.data.sha256 == first.data.sha256),
            ("held_out", info.data.held_out == first.data.held_out),
        ):
            if not same:
                raise CheckpointError(f"{run} has another {what} than {runs[0]}; compare them in calls of their own")


def _compared(run: Path, data: Data, images: int, prefixes: int, seed: int, progress: Progress | None) -> RunSimilarity:
    def tell(what: str, done: int, total: int, note: str) -> None:
        if progress is not None:
            progress(f"{what} {run}", done, total, note)

    supernet = load_supernet(run).supernet
    matrices = feature_similarity(supernet, data, images=images, prefixes=prefixes, seed=seed, progress=tell)
    per_layer = zip(supernet.space.layers, matrices, strict=True)
    layers = tuple(_layer(index, ops, matrix) for index, (ops, matrix) in enumerate(per_layer))
    counted = [layer for layer in layers if layer.skip is not None] or layers
    return RunSimilarity(
        run=run,
        stabilizers=supernet.space.inherits,
        layers=layers,
        skip_mean=_mean(layer.skip for layer in counted),
        blocks_mean=_mean(layer.blocks for layer in counted),
    )


def _layer(index: int, ops: tuple[Op, ...], matrix: Values) -> LayerSimilarity:
    skip, blocks = mean_similarities(matrix, ops)
    rows = tuple(tuple(row) for row in matrix.tolist())
    names = tuple(op.short for op in ops)
    return LayerSimilarity(layer=index, choices=names, similarity=rows, skip=skip, blocks=blocks)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
