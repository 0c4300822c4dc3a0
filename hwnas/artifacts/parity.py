"""Proof that an exported file computes what the network does: how near it comes, and whether that is near enough."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Array, Images
from hwnas.errors import ParityError, counted
from hwnas.records.artifact import Parity, Verdict
from hwnas.records.target import Batch, Target, Tolerance
from hwnas.runtimes.base import Session

if TYPE_CHECKING:
    from hwnas.nn.network import Network

Logits = npt.NDArray[np.float32]
"""(N, classes)"""

RANDOM_TEXTURES = "random textures"
"""What is said of inputs that no data set has."""

_CHUNK = 32


def compare(reference: Logits, logits: Logits, inputs: str) -> Parity:
    """Hold ``logits`` (N, classes) against ``reference`` (N, classes).

    Raises:
        ParityError: of another shape, not finite, or PyTorch's are all 0: there is nothing to compare.
    """
    if reference.shape != logits.shape:
        raise ParityError(f"logits of shape {logits.shape} where PyTorch's are {reference.shape}")
    if not np.isfinite(logits).all():
        raise ParityError("logits that aren't finite numbers")
    if not np.isfinite(reference).all():
        raise ParityError("PyTorch's logits aren't finite numbers; the weights are broken, or too large")
    if not reference.any():
        raise ParityError("PyTorch's logits are 0 for every input: the network computes nothing; train it first")
    return Parity(
        **nearness(reference, logits)._asdict(),
        top1_agreement=float((logits.argmax(1) == reference.argmax(1)).mean()),
        images=len(reference),
        inputs=inputs,
    )


class Nearness(NamedTuple):
    """How near an array is to the one it should be; see :class:`hwnas.records.artifact.Parity`."""

    max_abs: float
    max_relative: float
    cosine: float
    sqnr_db: float | None


def nearness(reference: Array, found: Array) -> Nearness:
    """Of finite numbers (N, K) of N inputs; relative to the largest of ``found`` where ``reference`` has only zeros."""
    max_abs, largest = float(np.abs(found - reference).max()), float(np.abs(reference).max())
    norms = np.linalg.norm(found, axis=1), np.linalg.norm(reference, axis=1)
    cosines = (found * reference).sum(axis=1) / np.maximum(norms[0] * norms[1], 1e-30)
    return Nearness(
        max_abs=max_abs,
        max_relative=max_abs / (largest or max_abs or 1.0),
        cosine=float(np.where((norms[0] == 0) & (norms[1] == 0), 1, cosines).min()),
        sqnr_db=sqnr_db(reference, found),
    )


def sqnr_db(reference: Logits, logits: Logits) -> float | None:
    """Signal to quantization noise, in dB: what distinguishes inputs, over what was added.

    The signal is the part of ``reference`` (N, classes) that differs from input to input. What is alike for all says
    nothing of them, and in a network of random weights it is nearly everything: any broken file would have it right.
    At most 200; None where nothing distinguishes the inputs.
    """
    exact = reference.astype(np.float64)
    signal = float(np.square(exact - exact.mean(axis=0)).sum())
    noise = float(np.square(logits - exact).sum())
    return 10 * math.log10(signal / max(noise, 1e-20 * signal)) if signal > 0 else None


def misses(parity: Parity, tolerance: Tolerance, *, learnt: bool = True) -> list[str]:
    """What is outside the tolerance, in words; ``learnt``: whether the network is known to have learnt something."""
    found = []
    if parity.max_relative > tolerance.relative:
        found.append(f"differs from PyTorch by {parity.max_relative:.2e} (allowed {tolerance.relative:.0e})")
    if parity.cosine < tolerance.cosine:
        found.append(f"cosine to PyTorch's logits {parity.cosine:.4f} (needed {tolerance.cosine})")
    if tolerance.sqnr_db is not None:
        if parity.sqnr_db is None:
            found.append("can't be judged: PyTorch's logits are the same for all inputs")
        elif parity.sqnr_db < tolerance.sqnr_db:
            found.append(f"has a signal {parity.sqnr_db:.1f} dB above its noise (needed {tolerance.sqnr_db:g})")
    same, asked = parity.top1_agreement, learnt or tolerance.sqnr_db is None
    if asked and same is not None and same < tolerance.top1:
        found.append(
            f"same first class on {parity.top1_agreement:.2%} of {parity.images} inputs (needed {tolerance.top1:.2%})"
        )
    return found


def shortfall(precisions: Mapping[str, int], wanted: str) -> str | None:
    """What is wrong where most layers with weights don't compute in the precision ``wanted``; None where they do."""
    if 2 * precisions.get(wanted, 0) > sum(precisions.values()):
        return None
    told = ", ".join(f"{layers} in {name}" for name, layers in precisions.items())
    return f"computes its layers {told}, where {wanted} was asked"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What files are held against: PyTorch's logits (N, classes) of normalised images (N, C, H, W).

    Attributes:
        inputs: where the images came from.
        labels: their classes (N,), None where nobody knows.
    """

    images: Images
    inputs: str
    reference: Logits
    labels: npt.NDArray[np.int64] | None = None


def judge(session: Session, target: Target, precisions: Mapping[str, int], evidence: Evidence) -> Verdict:
    """Run a file on the evidence, and hold what it gives and computes in against what its target asks."""
    tolerance = target.tolerance
    logits = run_session(session, evidence.images, target.batch)
    try:
        parity = compare(evidence.reference, logits, evidence.inputs)
    except ParityError as error:
        return Verdict(parity=None, accuracy_before=None, accuracy_after=None, failures=(str(error),))
    before = after = None
    if evidence.labels is not None:
        before, after = (float((x.argmax(1) == evidence.labels).mean()) for x in (evidence.reference, logits))
    learnt = before is not None and _beats_guessing(before, *evidence.reference.shape)
    failures = misses(parity, tolerance, learnt=learnt)
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


def run_session(session: Session, images: Images, batch: Batch) -> Logits:
    """A session's logits (N, classes), in batches of the largest size and of what remains, where it takes several."""
    size = min(batch.max, _CHUNK)
    padding = -len(images) % (batch.fixed or 1)
    padded = np.concatenate([images, images[:1].repeat(padding, axis=0)])
    return np.concatenate([session.run([chunk])[0] for chunk in _chunks(padded, size)])[: len(images)]


def _chunks(images: Images, size: int = _CHUNK) -> list[Images]:
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
