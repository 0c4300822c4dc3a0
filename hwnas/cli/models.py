"""What people name as a model, and what is measured beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Images
from hwnas.artifacts.bundle import Artifact
from hwnas.data.images import spread
from hwnas.data.load import Data, load_data
from hwnas.errors import DataError, ModelError
from hwnas.nn.model_folder import ModelInfo, load_model, random_info
from hwnas.nn.network import Network
from hwnas.prediction.latency import LatencyPredictor
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
        return Network(arch.space, arch, seed=seed).eval(), random_info(seed)
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
    """Those of the network's own data set, or of ``data``; None where there is neither, or ``data`` is ``none``.

    Images become inputs as they did when the network was trained, whatever ``data`` is.

    Raises:
        DataError: the data can't be read, or tells other classes apart than the network.
    """
    source = data or info.data
    if source is None or source == "none":
        return None
    how = info.preprocessing or {}
    try:
        found = load_data(source, network.space.resolution, resize_px=how.get("resize_px"))
    except DataError as error:
        if data is not None:
            raise
        raise DataError(
            f"{error}; where the model's own images aren't at hand, give others by --data, or none"
        ) from None
    _check_classes(network, info, found)
    found = replace(found, mean=tuple(how.get("mean", found.mean)), std=tuple(how.get("std", found.std)))
    # a point of accuracy is a matter of many images: as many as take little time
    tested = min(_TEST_IMAGES, max(1, _TEST_PIXELS // network.space.resolution**2))
    chosen = spread(len(found.test.labels), tested)
    calibration = spread(len(found.train.labels), CALIBRATION_IMAGES)
    return RealImages(
        images=found.normalize(found.test.pixels(chosen)).contiguous().numpy(),
        labels=found.test.labels[chosen].numpy(),
        calibration=found.normalize(found.train.pixels(calibration)).contiguous().numpy(),
    )


def _check_classes(network: Network, info: ModelInfo, data: Data) -> None:
    ours, theirs = network.space.classes, len(data.classes)
    if ours != theirs:
        raise DataError(f"{data.spec} has {theirs} classes, the network {ours}; give data of the same classes")
    if info.data is None or info.labels is None:
        return  # of a released checkpoint, which has no names of classes
    odd = [pair for pair in zip(info.labels, data.classes, strict=True) if pair[0] != pair[1]]
    if odd:
        mine, given = odd[0]
        raise DataError(
            f"{data.spec} has a class {given!r} where the network has {mine!r}; give data of the same classes"
        )


def predicted_interval_ms(artifact: Artifact, table: LatencyTable) -> tuple[float, float | None, float | None]:
    """What a table predicts for the artifact's network, kept stabilizers included: latency, low and high end in ms.

    Raises:
        MissingOpError: the table isn't of the artifact's space.
    """
    arch = artifact.arch
    kept = artifact.manifest.keeps_stabilizers
    predictor = LatencyPredictor(table, arch.space.inheriting() if kept else arch.space)
    low_high = predictor.interval(arch.choices)
    low_ms, high_ms = (float(end[0]) for end in low_high) if low_high else (None, None)
    return float(predictor(arch.choices)[0]), low_ms, high_ms
