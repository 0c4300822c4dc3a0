"""How sure a share of images is: what is said of an accuracy wherever one is told."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

from hwnas.errors import ConfigError


def wilson(share: float, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """The ends, in [0, 1], of the interval around a share of so many images that holds the true one.

    Score interval without correction for continuity (Wilson 1927, "Probable inference, the law of succession, and
    statistical inference"): it stays within [0, 1] and isn't empty where all images are right.

    Raises:
        ConfigError: the share isn't in [0, 1], there are no images, or the confidence isn't between 0 and 1.
    """
    if not (0 <= share <= 1 and images >= 1 and 0 < confidence < 1):
        raise ConfigError(f"no interval of a share {share} of {images} images with confidence {confidence}")
    squared = NormalDist().inv_cdf((1 + confidence) / 2) ** 2 / images
    middle = (share + squared / 2) / (1 + squared)
    half = sqrt(squared * (share * (1 - share) + squared / 4)) / (1 + squared)
    return max(0.0, middle - half), min(1.0, middle + half)


def plus_minus(accuracy: float, images: int | None) -> str:
    """An accuracy and how far the farther end of its 95 % Wilson interval is, in points: ``93.44% ± 2.00``."""
    if images is None:
        return f"{accuracy:.2%}"
    low, high = wilson(accuracy, images)
    return f"{accuracy:.2%} ± {100 * max(accuracy - low, high - accuracy):.2f}"
