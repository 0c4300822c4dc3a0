"""What files of a network of hwnas are held against, for tests that make it up."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Images
from hwnas.artifacts.parity import Evidence, Logits, logits_of
from hwnas.artifacts.samples import Samples
from hwnas.nn.network import Network


def of_images(*images: Images) -> Samples:
    """Samples of a network that takes images (N, C, H, W) and any batch."""
    return Samples(arrays=images)


def made_up(logits: Logits, images: Images | None = None, labels: npt.NDArray[np.int64] | None = None) -> Evidence:
    """PyTorch's logits (N, classes), whatever they are of."""
    samples = of_images(np.zeros((len(logits), 1), np.float32) if images is None else images)
    return Evidence(
        samples=samples, inputs="made up", outputs={"logits": logits}, source="PyTorch", classifies=True, labels=labels
    )


def evidence_of(network: Network, images: Images) -> Evidence:
    """PyTorch's logits of images (N, C, H, W)."""
    return made_up(logits_of(network, images), images)
