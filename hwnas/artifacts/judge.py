"""What is to be thought of a file that was made: same answers, no accuracy lost, precision reached, faster or not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Images
from hwnas.artifacts.make import Made
from hwnas.artifacts.verify import Logits, Parity, compare, misses, run_session, shortfall
from hwnas.errors import ParityError


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What files are held against.

    Attributes:
        images: normalised inputs (N, C, H, W).
        inputs: where they came from.
        reference: PyTorch's logits of them (N, classes).
        labels: their classes (N,), None where nobody knows.
    """

    images: Images
    inputs: str
    reference: Logits
    labels: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the checks of one file gave.

    Attributes:
        parity: None where there was nothing to compare.
        accuracy_before, accuracy_after: of PyTorch's network and of the file on the same images; None without labels.
        failures: checks that were missed, in words.
    """

    parity: Parity | None
    accuracy_before: float | None
    accuracy_after: float | None
    failures: tuple[str, ...]


def judge(made: Made, evidence: Evidence) -> Judgement:
    """Run the file on the evidence and hold what it gives against its target's tolerance."""
    tolerance = made.target.tolerance
    logits = run_session(made.session, evidence.images, made.target.batch)
    try:
        parity = compare(evidence.reference, logits, evidence.inputs)
    except ParityError as error:
        return Judgement(parity=None, accuracy_before=None, accuracy_after=None, failures=(str(error),))
    before = after = None
    if evidence.labels is not None:
        before, after = (float((x.argmax(1) == evidence.labels).mean()) for x in (evidence.reference, logits))
    learnt = before is not None and _beats_guessing(before, *evidence.reference.shape)
    failures = misses(parity, tolerance, learnt=learnt)
    if before is not None and after is not None and 100 * (before - after) > tolerance.accuracy_points:
        failures.append(f"accuracy {before:.2%} becomes {after:.2%} (allowed loss {tolerance.accuracy_points} points)")
    if made.precisions and (missed := shortfall(made.precisions, made.target.precision)):
        failures.append(missed)
    return Judgement(parity=parity, accuracy_before=before, accuracy_after=after, failures=tuple(failures))


def _beats_guessing(accuracy: float, images: int, classes: int) -> bool:
    """By three standard errors."""
    chance = 1 / classes
    return accuracy > chance + 3 * math.sqrt(chance * (1 - chance) / images)
