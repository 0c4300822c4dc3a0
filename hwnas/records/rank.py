"""What `rank` finds: how well scores order archs by their true accuracy."""

from __future__ import annotations

from pathlib import Path

from hwnas.record import Record
from hwnas.space.ref import SpaceRef


class Estimate(Record):
    """A value and the ends of its 95 % interval; None where it isn't defined, as for scores that are all equal."""

    value: float | None
    low: float | None
    high: float | None


class Correlations(Record):
    """Rank correlations of scores with the truth: Kendall's τ-b and Spearman's ρ."""

    kendall_tau: Estimate
    spearman: Estimate


class Part(Record):
    """All archs, or the best of them.

    Attributes:
        correlations: name of a supernet or a baseline (``random`` is one) -> its rank correlations.
        best_baseline: of depth and the like, the one of the highest τ.
        leads: name of a supernet -> its τ less that of the best baseline.
        ceiling: of one training with another of the same archs, the mean over pairs of trainings; None for one each.
    """

    archs: int
    correlations: dict[str, Correlations]
    best_baseline: str
    leads: dict[str, Estimate]
    ceiling: Correlations | None


class Picks(Record):
    """True accuracies: of the arch with the highest score, and the best of the ten with the highest scores.

    Equal scores are ordered at random, by the seed.
    """

    top_1: float
    top_10: float


class Ranking(Record):
    """Scores of supernets and baselines, compared with the truth.

    Attributes:
        whole: over all archs.
        top: over the best fifth; None where that is too few archs.
        picks: name of a supernet or a baseline -> what it would have chosen.
    """

    whole: Part
    top: Part | None
    best_accuracy: float
    picks: dict[str, Picks]


class RankRecord(Record):
    """How well supernets order archs, and what that was found with.

    Attributes:
        runs: the supernets' run folders; by these they are named in rankings.
        space: theirs, that of the first.
        by_accuracy: with their inherited accuracies as scores.
        by_loss: with their inherited cross-entropies, less being better.
        by_loss_additive: with these smoothed: the sum over layers that fits all archs' best.
        truth_archs: archs in it; as many or fewer were drawn.
        truth_trainings: of each arch there.
        truth_images: that each true accuracy was found on; None where nobody knows.
        images: of the validation part, the most of any run.
        recalibration_images: of the train part, for an arch's BN, the most of any run.
        seed: of archs drawn and of intervals.
    """

    runs: tuple[Path, ...]
    space: SpaceRef
    by_accuracy: Ranking
    by_loss: Ranking
    by_loss_additive: Ranking
    truth: Path
    truth_archs: int
    truth_trainings: int
    truth_images: int | None = None
    images: int
    recalibration_images: int
    seed: int
