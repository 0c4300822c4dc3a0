"""Proof that an exported file computes what the network does: how near it comes, and whether that is near enough."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Array, Images
from hwnas.artifacts.samples import Samples
from hwnas.errors import NoReferenceError, ParityError, counted
from hwnas.records.artifact import Closeness, Parity, Verdict
from hwnas.records.target import Target, Tolerance
from hwnas.runtimes.base import Session

if TYPE_CHECKING:
    from hwnas.nn.network import Network

Logits = npt.NDArray[np.float32]
"""(N, classes)"""

RANDOM_TEXTURES = "random textures"
"""What is said of inputs that no data set has."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What files are held against: what their network gives for some samples.

    Attributes:
        inputs: where the samples came from.
        outputs: {name: (N, …)}, in the network's order.
        source: who gave them, such as PyTorch.
        classifies: whether the one output is a score for each class, (N, classes).
        labels: classes of the samples (N,), None where nobody knows.
    """

    samples: Samples
    inputs: str
    outputs: Mapping[str, Array]
    source: str
    classifies: bool
    labels: npt.NDArray[np.int64] | None = None

    @property
    def scores(self) -> Array:
        """(N, classes), of a network that classifies."""
        return next(iter(self.outputs.values()))


def compare(evidence: Evidence, outputs: Sequence[Array]) -> Parity:
    """Hold ``outputs`` against the evidence's, integers as numbers.

    Raises:
        NoReferenceError: those of the evidence aren't finite, or all 0: there is nothing to compare.
        ParityError: as many as the evidence's they aren't, or of another shape, or not finite.
    """
    source, references = evidence.source, evidence.outputs
    for name, reference in references.items():
        if not np.isfinite(reference).all():
            raise NoReferenceError(f"{source}'s {name} aren't finite numbers; the weights are broken, or too large")
    if not any(reference.any() for reference in references.values()):
        told = " and ".join(references)
        raise NoReferenceError(f"{source}'s {told} are 0 for every input: the network computes nothing")
    if len(outputs) != len(references):
        raise ParityError(f"{len(outputs)} outputs where {source} gives {len(references)}")
    given = dict(zip(references, outputs, strict=True))
    for name, reference in references.items():
        if reference.shape != given[name].shape:
            found, right = (each.shape[int(evidence.samples.whole) :] for each in (given[name], reference))
            raise ParityError(f"{name} of shape {found} where {source}'s are {right}")
        if not np.isfinite(given[name]).all():
            raise ParityError(f"{name} that aren't finite numbers, as {source}'s are")
    each = {name: _closeness(reference, given[name]) for name, reference in references.items()}
    agreement = (outputs[0].argmax(1) == evidence.scores.argmax(1)).mean() if evidence.classifies else None
    return Parity(
        max_abs=max(found.max_abs for found in each.values()),
        max_relative=max(found.max_relative for found in each.values()),
        cosine=min(found.cosine for found in each.values()),
        sqnr_db=min((found.sqnr_db for found in each.values() if found.sqnr_db is not None), default=None),
        outputs=each if len(each) > 1 else {},
        top1_agreement=None if agreement is None else float(agreement),
        images=len(evidence.samples),
        inputs=evidence.inputs,
    )


def _closeness(reference: Array, found: Array) -> Closeness:
    exact, given = (array.astype(np.float64).reshape(len(array), -1) for array in (reference, found))
    return Closeness(**nearness(exact, given)._asdict())


class Nearness(NamedTuple):
    """How near an array is to the one it should be; see :class:`hwnas.records.artifact.Closeness`."""

    max_abs: float
    max_relative: float
    cosine: float
    sqnr_db: float | None


def nearness(reference: Array, found: Array) -> Nearness:
    """Of finite numbers (N, K) of N inputs; relative to the largest of ``found`` where ``reference`` has only zeros."""
    max_abs, largest = (float(np.abs(each).max(initial=0)) for each in (found - reference, reference))
    norms = np.linalg.norm(found, axis=1), np.linalg.norm(reference, axis=1)
    cosines = (found * reference).sum(axis=1) / np.maximum(norms[0] * norms[1], 1e-30)
    return Nearness(
        max_abs=max_abs,
        max_relative=max_abs / (largest or max_abs or 1.0),
        cosine=float(np.where((norms[0] == 0) & (norms[1] == 0), 1, cosines).min()),
        sqnr_db=sqnr_db(reference, found),
    )


def sqnr_db(reference: Array, found: Array) -> float | None:
    """Signal to quantization noise, in dB: what distinguishes inputs, over what was added.

    The signal is the part of ``reference`` (N, …) that differs from input to input. What is alike for all says
    nothing of them, and in a network of random weights it is nearly everything: any broken file would have it right.
    At most 200; None where nothing distinguishes the inputs.
    """
    exact = reference.astype(np.float64)
    signal = float(np.square(exact - exact.mean(axis=0)).sum())
    noise = float(np.square(found - exact).sum())
    return 10 * math.log10(signal / max(noise, 1e-20 * signal)) if signal > 0 else None


def least_sqnr_db(reference: Sequence[Array], found: Sequence[Array]) -> float | None:
    """Of the worst output; see :func:`sqnr_db`."""
    each = (sqnr_db(*pair) for pair in zip(reference, found, strict=True))
    return min((known for known in each if known is not None), default=None)


def misses(parity: Parity, tolerance: Tolerance, source: str, *, learnt: bool = True) -> list[str]:
    """What is outside the tolerance, in words; ``learnt``: whether the network is known to have learnt something."""
    found = []
    if parity.max_relative > tolerance.relative:
        found.append(f"differs from {source} by {parity.max_relative:.2e} (allowed {tolerance.relative:.0e})")
    if parity.cosine < tolerance.cosine:
        found.append(f"cosine to {source}'s answers {parity.cosine:.4f} (needed {tolerance.cosine})")
    if tolerance.sqnr_db is not None:
        if parity.sqnr_db is None:
            found.append(f"can't be judged: {source}'s answers are the same for all inputs")
        elif parity.sqnr_db < tolerance.sqnr_db:
            found.append(f"has a signal {parity.sqnr_db:.1f} dB above its noise (needed {tolerance.sqnr_db:g})")
    agreement = parity.top1_agreement if learnt or tolerance.sqnr_db is None else None
    if agreement is not None and agreement < tolerance.top1:
        found.append(f"same first class on {agreement:.2%} of {parity.images} inputs (needed {tolerance.top1:.2%})")
    return found


def shortfall(precisions: Mapping[str, int], wanted: str) -> str | None:
    """What is wrong where most layers with weights don't compute in the precision ``wanted``; None where they do."""
    if 2 * precisions.get(wanted, 0) > sum(precisions.values()):
        return None
    told = ", ".join(f"{layers} in {name}" for name, layers in precisions.items())
    return f"computes its layers {told}, where {wanted} was asked"


def judge(session: Session, target: Target, precisions: Mapping[str, int], evidence: Evidence) -> Verdict:
    """Run a file on the evidence, and hold what it gives and computes in against what its target asks."""
    tolerance = target.tolerance
    outputs = evidence.samples.run(session, target.batch)
    try:
        parity = compare(evidence, outputs)
    except ParityError as error:
        return Verdict(parity=None, accuracy_before=None, accuracy_after=None, failures=(str(error),))
    before = after = None
    if evidence.labels is not None:
        before, after = (float((x.argmax(1) == evidence.labels).mean()) for x in (evidence.scores, outputs[0]))
    learnt = before is not None and _beats_guessing(before, *evidence.scores.shape)
    failures = misses(parity, tolerance, evidence.source, learnt=learnt)
    if before is not None and after is not None:
        failures += _lost(before, after, parity.images, tolerance.accuracy_points)
    if precisions and (missed := shortfall(precisions, target.precision)):
        failures.append(missed)
    return Verdict(parity=parity, accuracy_before=before, accuracy_after=after, failures=tuple(failures))


def _lost(before: float, after: float, images: int, allowed_points: float) -> list[str]:
    """That more accuracy is lost than is allowed, in words: in whole images, since of 75 one is 1.33 points."""
    lost, allowed = round((before - after) * images), math.ceil(round(allowed_points * images / 100, 6))
    if lost <= allowed:
        return []
    return [
        f"accuracy {before:.2%} becomes {after:.2%}: {lost:,} of {counted(images, 'image')} lost, {allowed:,} allowed "
        f"({allowed_points:g} points); give more test images, or a larger accuracy_points in a target file"
    ]


def _beats_guessing(accuracy: float, images: int, classes: int) -> bool:
    """By three standard errors."""
    chance = 1 / classes
    return accuracy > chance + 3 * math.sqrt(chance * (1 - chance) / images)


def logits_of(network: Network, images: Images) -> Logits:
    """PyTorch's logits (N, classes) in eval mode; the network's mode is left as it was."""
    import torch  # an artifact is checked without it

    training = network.training
    network.eval()
    with torch.inference_mode():
        logits = [network(torch.from_numpy(chunk)).numpy() for chunk in _chunks(images)]
    network.train(training)
    return np.concatenate(logits)


def _chunks(images: Images, size: int = 32) -> list[Images]:
    return [images[start : start + size] for start in range(0, len(images), size)]


def random_textures(count: int, input_chw: tuple[int, ...], seed: int = 0) -> Images:
    """Images (count, C, H, W) with structure at several scales, mean 0, deviation 1: inputs where no data is at hand.

    Photographs have most of their energy in coarse structure; white noise has almost none there.
    """
    channels, height, width = input_chw
    rng = np.random.default_rng(seed)
    images = np.zeros((count, channels, height, width), np.float32)
    for cells in (1, 2, 4, 8, 16):
        coarse = rng.standard_normal((count, channels, cells, cells), dtype=np.float32)
        rows, columns = (np.arange(size) * cells // size for size in (height, width))
        images += coarse[:, :, rows][:, :, :, columns]
    images -= images.mean(axis=(1, 2, 3), keepdims=True)
    images /= images.std(axis=(1, 2, 3), keepdims=True)
    return images
