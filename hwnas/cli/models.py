"""What people name as a model, and what is measured beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas.artifact.bundle import Artifact
from hwnas.data.images import spread
from hwnas.data.load import load_data
from hwnas.errors import ModelError
from hwnas.nn.derive import Network
from hwnas.nn.model_folder import ModelInfo, load_model
from hwnas.predict.latency import LatencyPredictor
from hwnas.runtimes.base import Images
from hwnas.space.arch import parse_arch
from hwnas.space.scarlet import released_archs
from hwnas.tables.table import LatencyTable

CALIBRATION_IMAGES = 512
_TEST_PIXELS = 512 * 224 * 224
_TEST_IMAGES = 4096


def open_model(text: str, seed: int) -> tuple[Network, ModelInfo]:
    """A MODEL folder, or a released name (random weights of ``seed``, for timing).

    Raises:
        ModelError: neither.
    """
    if text in released_archs():
        arch = parse_arch(text)
        return Network(arch.space, arch, seed=seed).eval(), ModelInfo()
    if not Path(text).is_dir():
        raise ModelError(
            f"no model {text!r}; give a folder that hwnas derive made, or one of {', '.join(released_archs())}"
        )
    return load_model(Path(text))


@dataclass(frozen=True)
class RealImages:
    """Normalised inputs of a data set: test images with labels to check with, train images to calibrate with."""

    images: Images
    labels: npt.NDArray[np.int64]
    calibration: Images


def real_images(network: Network, info: ModelInfo, data: str | None) -> RealImages | None:
    """Those of the network's own data set, or of ``data``; None where there is neither.

    Raises:
        DataError: the data can't be read or doesn't fit the network.
    """
    source = data or info.data
    if source is None:
        return None
    found = load_data(source, network.space.resolution)
    # a point of accuracy is a matter of many images: as many as take little time
    tested = min(_TEST_IMAGES, max(1, _TEST_PIXELS // network.space.resolution**2))
    chosen = spread(len(found.test.labels), tested)
    calibration = spread(len(found.train.labels), CALIBRATION_IMAGES)
    return RealImages(
        images=found.normalize(found.test.pixels(chosen)).contiguous().numpy(),
        labels=found.test.labels[chosen].numpy(),
        calibration=found.normalize(found.train.pixels(calibration)).contiguous().numpy(),
    )


def predicted_interval_ms(artifact: Artifact, table: LatencyTable) -> tuple[float, float | None, float | None]:
    """What a table predicts for the artifact's network, kept stabilizers included: latency, low and high end in ms.

    Raises:
        MissingOpError: the table isn't of the artifact's space.
    """
    arch = artifact.arch
    keeps = any("kept" in note for note in artifact.manifest.stabilizers.values())
    predictor = LatencyPredictor(table, arch.space, stabilizers=keeps)
    low_high = predictor.interval(arch.choices)
    low_ms, high_ms = (float(end[0]) for end in low_high) if low_high else (None, None)
    return float(predictor.predict(arch.choices)[0]), low_ms, high_ms
