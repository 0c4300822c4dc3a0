"""What `similarity` finds: how alike the features are that the choices of a layer put out."""

from __future__ import annotations

from pathlib import Path

from hwnas.record import Record


class LayerSimilarity(Record):
    """One layer.

    Attributes:
        similarity: cosine similarities of its C choices, (C, C).
        skip: mean of the skip's with each block; None where there is no skip.
        blocks: mean of those of two blocks; None where there aren't two.
    """

    layer: int
    choices: tuple[str, ...]
    similarity: tuple[tuple[float, ...], ...]
    skip: float | None
    blocks: float | None


class RunSimilarity(Record):
    """One supernet: its layers, and both means over those that have a skip (over all where none has).

    Layers without a skip have no residual either: their blocks agree less, and would make the skip look better.
    """

    run: Path
    stabilizers: bool
    layers: tuple[LayerSimilarity, ...]
    skip_mean: float | None
    blocks_mean: float | None


class SimilarityRecord(Record):
    """Supernets of one space, on the same images and prefixes; ``space`` is its name."""

    space: str
    images: int
    prefixes: int
    seed: int
    runs: tuple[RunSimilarity, ...]
