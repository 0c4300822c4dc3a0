"""`export`: a network -> an artifact, checked with its own images where they are at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas.arguments import checked
from hwnas.arrays import Images
from hwnas.artifacts.export import Exported, export_network, get_targets
from hwnas.data.folder import same_text
from hwnas.data.images import spread
from hwnas.data.load import Data, load_data
from hwnas.errors import ConfigError, DataError, ModelError, counted
from hwnas.files import refuse_existing
from hwnas.flow.file_inputs import Normalize, file_inputs
from hwnas.flow.model import ModelLike, names_model
from hwnas.flow.model import open_model as open_own
from hwnas.nn.model_folder import load_model
from hwnas.nn.network import Network
from hwnas.onnx.model import Shapes
from hwnas.progress import Progress, say
from hwnas.records.model import ModelInfo
from hwnas.records.train import TrainRecord
from hwnas.space.arch import parse_arch
from hwnas.space.scarlet import released_archs

CALIBRATION_IMAGES = 512
_TEST_PIXELS = 512 * 224 * 224
_TEST_IMAGES = 4096


@checked
def export(
    model: Network | TrainRecord | ModelLike,
    targets: str | Sequence[str],
    output: Path | str,
    *,
    shapes: Shapes | None = None,
    data: str | None = None,
    normalize: Normalize | None = None,
    seed: int = 0,
    optimize: bool = False,
    all_or_nothing: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write a network for each target, check every file against what the network gives, and bundle those that pass.

    Args:
        model: a network, a MODEL folder, a training that made one, or a released name (random weights, for timing),
            whose files are held against PyTorch. Or somebody's own, as :func:`hwnas.flow.model.open_model` takes it,
            whose files are held against itself, run by ONNX Runtime without optimizations.
        targets: names of shipped targets, or paths of YAML files.
        output: the artifact folder to make.
        shapes: {input: shape, the batch included}, of inputs of somebody's own model that it leaves open.
        data: the data set whose images check and calibrate; the network's own when None, random textures where that
            isn't known either, or for ``none``. For somebody's own model also an ``.npz`` file with an array (N, …) for
            each input; drawn numbers where there is nothing.
        normalize: (mean, std) of each channel, with which images become somebody's own model's input; ImageNet's when
            None.
        seed: of random weights.
        optimize: whether every target is as if it said ``optimize: timed``.
        all_or_nothing: whether a target that fails keeps the others from being shipped; else ``failed`` of what is
            returned says which did, and why.
        progress: called with (what, done, total, note).

    Raises:
        ModelError: no such model, or a damaged one.
        DataError: the data can't be read, or tells other classes apart than the network.
        ConfigError, OutputError, ParityError, CountError, RuntimeMissingError: see
            :func:`hwnas.artifacts.export.export_network`.
    """
    names = [targets] if isinstance(targets, str) else targets
    get_targets(names, optimize=optimize)  # what can't be made is told before images are decoded
    refuse_existing(Path(output))
    if isinstance(model, Network):
        network = model
    elif isinstance(model, TrainRecord) or (isinstance(model, str | Path) and not names_model(model)):
        network = open_model(model, seed)
    else:
        given = file_inputs(open_own(model, shapes), data, normalize)
        return export_network(
            given.source, names, output,
            optimize=optimize, all_or_nothing=all_or_nothing, progress=progress,
            images=given.checks, images_of=data, labels=given.labels, calibration=given.calibration,
            pixels=given.pixels,
        )  # fmt: skip
    if shapes or normalize:
        what = "--shape" if shapes else "--normalize"
        raise ConfigError(f"{what} is for an ONNX file or module:callable; a network of hwnas says what it takes")
    real = real_images(network, data)
    return export_network(
        network, names, output,
        optimize=optimize, all_or_nothing=all_or_nothing, progress=progress,
        images=real.images if real else None,
        images_of=data,
        labels=real.labels if real else None,
        calibration=real.calibration if real else None,
    )  # fmt: skip


def open_model(model: TrainRecord | Path | str, seed: int = 0) -> Network:
    """A MODEL folder's network, or a released one (random weights of ``seed``, for timing).

    Raises:
        ModelError: neither.
    """
    path = model.result if isinstance(model, TrainRecord) else model
    if path in released_archs():
        arch = parse_arch(str(path))
        network = Network(arch.space, arch, seed=seed).eval()
        network.info = ModelInfo.of_random(seed)
        return network
    if not Path(path).is_dir():
        raise ModelError(
            f"no model {str(path)!r}; give a folder that hwnas derive or train made, an ONNX file, module:callable, or "
            f"one of {', '.join(released_archs())}"
        )
    return load_model(Path(path))


@dataclass(frozen=True)
class RealImages:
    """Normalised inputs of a data set: test images with labels to check with, train images to calibrate with."""

    images: Images
    labels: npt.NDArray[np.int64]
    calibration: Images


def real_images(network: Network, data: str | None) -> RealImages | None:
    """Those of the network's own data set, or of ``data``; None where there is neither, or ``data`` is ``none``.

    Images become inputs as they did when the network was trained, whatever ``data`` is.

    Raises:
        DataError: the data can't be read, or tells other classes apart than the network.
    """
    info = network.info
    source = data or info.data
    if source is None or source == "none":
        return None
    how = info.preprocessing
    try:
        found = load_data(
            source, network.space.resolution, resize_px=how.resize_px if how else None, corrupt=info.corrupt_images
        )
    except DataError as error:
        if data is not None:
            raise
        raise DataError(
            f"{error}; where the model's own images aren't at hand, give others by --data, or none"
        ) from None
    _check_classes(network, found)
    if how:
        found = replace(found, mean=how.mean, std=how.std)
    # a point of accuracy is a matter of many images: as many as take little time
    tested = min(_TEST_IMAGES, max(1, _TEST_PIXELS // network.space.resolution**2))
    chosen = spread(len(found.test.labels), tested)
    calibration = spread(len(found.train.labels), CALIBRATION_IMAGES)
    real = RealImages(
        images=found.normalize(found.test.pixels(chosen)).contiguous().numpy(),
        labels=found.test.labels[chosen].numpy(),
        calibration=found.normalize(found.train.pixels(calibration)).contiguous().numpy(),
    )
    if found.skipped.count:
        say(f"{counted(found.skipped.count, 'image')} of {source} can't be decoded: left out, as in the training")
    return real


def _check_classes(network: Network, data: Data) -> None:
    info = network.info
    ours, theirs = network.space.classes, len(data.classes)
    if ours != theirs:
        raise DataError(f"{data.spec} has {theirs} classes, the network {ours}; give data of the same classes")
    if info.data is None or info.labels is None:
        return  # of a released checkpoint, which has no names of classes
    for ours_name, theirs_name in zip(info.labels, data.classes, strict=True):
        if ours_name != theirs_name:
            what = "it in another Unicode form" if same_text(ours_name, theirs_name) else repr(ours_name)
            raise DataError(
                f"{data.spec} has a class {theirs_name!r} where the network has {what}; give data of the same classes"
            )
