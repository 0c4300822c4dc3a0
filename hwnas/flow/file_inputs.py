"""What somebody's file is checked and calibrated with: arrays of its inputs, or images made into them."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Array
from hwnas.artifacts.source import FileSource
from hwnas.data.images import spread
from hwnas.data.load import load_data, preprocessing_of
from hwnas.errors import ConfigError, DataError, counted, first_line, unknown
from hwnas.onnx.model import OnnxModel
from hwnas.progress import say
from hwnas.records.model import Preprocessing
from hwnas.records.network import OfFile

Normalize = tuple[Sequence[float], Sequence[float]]
"""Mean and standard deviation of each channel, of pixels from 0 to 1."""

IMAGENET: Normalize = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What most networks that come as a file were trained with."""
_COLOURS = 3
_CHECKED, _CALIBRATED = 512, 512
_CHECKS = 4
"""One array in so many is for the checks, the others are to calibrate with."""


@dataclass(frozen=True, kw_only=True)
class FileInputs:
    """A file to export, and an array (N, …) for each of its inputs: to check with and to calibrate with.

    Attributes:
        pixels: whether these are images.
        labels: their classes, None where nobody knows.
    """

    source: FileSource
    checks: tuple[Array, ...] | None = None
    calibration: tuple[Array, ...] | None = None
    pixels: bool = True
    labels: npt.NDArray[np.int64] | None = None


def file_inputs(model: OnnxModel, data: str | None, normalize: Normalize | None) -> FileInputs:
    """A model with its inputs, of ``data``: an ``.npz`` file with an array for each input, images, or None or ``none``.

    Raises:
        ConfigError: it doesn't take images that could be normalised so.
        DataError: the data can't be read, or isn't what the model takes.
        ModelError: the model can't be run.
    """
    source = FileSource(model)
    record = source.record
    how = _preprocessing(record, normalize) if normalize else None
    if data is None or data == "none":
        return FileInputs(source=FileSource(model, how))
    if data.endswith(".npz"):
        arrays = _read_arrays(Path(data), record)
        checks = tuple(array[:: min(_CHECKS, len(array))] for array in arrays)
        rest = tuple(np.delete(array, slice(None, None, _CHECKS), axis=0) for array in arrays)
        calibration = rest if len(rest[0]) else checks
        return FileInputs(source=FileSource(model, how), checks=checks, calibration=calibration, pixels=False)
    return _of_images(model, record, data, how)


def _preprocessing(record: OfFile, normalize: Normalize) -> Preprocessing:
    mean, std = (tuple(map(float, each)) for each in normalize)
    if record.image_chw is None or record.image_chw[1] != record.image_chw[2]:
        raise ConfigError(f"{record.name} takes no square image that could be normalised; it takes {_told(record)}")
    if {len(mean), len(std)} != {record.image_chw[0]} or not min(std) > 0 or not np.isfinite([*mean, *std]).all():
        raise ConfigError(
            f"mean and std must be {record.image_chw[0]} numbers each, std above 0, got {len(mean)} and {len(std)}"
        )
    return preprocessing_of(record.image_chw[1], record.image_chw[1], mean, std)


def _of_images(model: OnnxModel, record: OfFile, data: str, how: Preprocessing | None) -> FileInputs:
    if record.image_chw is None or record.image_chw[0] != _COLOURS or record.image_chw[1] != record.image_chw[2]:
        raise DataError(
            f"{record.name} takes {_told(record)}, no square image in colour; give an .npz file with an array for each "
            f"input by its name ({', '.join(port.name for port in record.takes)}), its rows the inputs"
        )
    if how is None:
        how = _preprocessing(record, IMAGENET)
        say(f"images are normalised with the mean and std of ImageNet; --normalize gives those of {record.name}")
    found = load_data(data, how.resolution)
    labels = None
    if len(found.classes) == record.classes:
        labels = found.test.labels
    else:
        gives = f"{record.classes} classes" if record.classes else "no classes"
        say(f"{data} has {counted(len(found.classes), 'class')} and {record.name} gives {gives}: no accuracy is told")
    mean, std = (np.array(each, np.float32) for each in (how.mean, how.std))

    def inputs(images: npt.NDArray[np.uint8]) -> tuple[Array, ...]:
        scaled = (images.transpose(0, 2, 3, 1).astype(np.float32) / np.float32(255) - mean) / std
        return (np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)),)

    chosen = spread(len(found.test.labels), _CHECKED)
    calibration = spread(len(found.train.labels), _CALIBRATED)
    return FileInputs(
        source=FileSource(model, how),
        checks=inputs(found.test.pixels(chosen).numpy()),
        calibration=inputs(found.train.pixels(calibration).numpy()),
        labels=None if labels is None else labels[chosen].numpy(),
    )


def _read_arrays(path: Path, record: OfFile) -> tuple[Array, ...]:
    """Raises:
    DataError: it can't be read, or lacks an input, or has one of another type or size.
    """
    names = [port.name for port in record.takes]
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for name in arrays.files:
                if name not in names:
                    raise DataError(f"{path}: {record.name} has {unknown('input', name, names)}")
            found = {name: arrays[name] for name in names if name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise DataError(f"can't read {path} as an .npz file of arrays: {first_line(error)}") from None
    for port in record.takes:
        if port.name not in found:
            raise DataError(f"{path} lacks an array {port.name}, an input of {record.name}")
        array = found[port.name]
        wanted = " ".join((port.dtype, "x".join(map(str, ("N", *port.shape)))))
        if array.shape[1:] != port.shape or not array.ndim or not len(array):
            raise DataError(f"{path}: {port.name} is {array.dtype} {array.shape}, and {record.name} takes {wanted}")
        if not np.can_cast(array.dtype, port.dtype, "same_kind"):
            raise DataError(f"{path}: {port.name} holds {array.dtype}, and {record.name} takes {wanted}")
        if len(array) != len(found[names[0]]):
            raise DataError(f"{path}: {port.name} has {len(array)} rows, and {names[0]} {len(found[names[0]])}")
    return tuple(found[port.name].astype(port.dtype) for port in record.takes)


def _told(record: OfFile) -> str:
    return ", ".join(f"{tensor.name} ({tensor})" for tensor in record.inputs)
