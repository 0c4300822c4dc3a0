"""What somebody's file is checked and calibrated with, and what is said of what it can't be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hwnas.errors import ConfigError, DataError
from hwnas.flow.file_inputs import IMAGENET, file_inputs
from hwnas.onnx.model import OnnxModel, read_model
from tests.foreign_models import ds_cnn, onnx_file, resnet8, text_encoder


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    return read_model(onnx_file(tmp_path_factory.mktemp("resnet") / "resnet8.onnx", resnet8(), "pixels"))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    return read_model(onnx_file(tmp_path_factory.mktemp("text") / "text.onnx", text_encoder(), "ids", "mask"))


def pictures(folder: Path, classes: int) -> Path:
    rng = np.random.default_rng(0)
    for name in range(classes):
        (folder / f"class-{name}").mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(256, size=(40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"class-{name}" / f"{number}.png")
    return folder


def test_images_become_inputs_by_the_mean_and_std_that_are_given(
    resnet: OnnxModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pictures(tmp_path / "photos", 10)
    given = file_inputs(resnet, str(folder), ((0.5, 0.25, 0.0), (0.5, 1.0, 2.0)))
    assert given.checks is not None
    assert given.calibration is not None
    (images,) = given.checks
    assert images.shape == (40, 3, 32, 32)  # a fifth of each class
    assert (images.min(axis=(0, 2, 3)) >= [-1, -0.25, 0]).all()
    assert (images.max(axis=(0, 2, 3)) <= [1, 0.75, 0.5]).all()
    assert len(given.calibration[0]) == 140  # of each class's other 16 a tenth, rounded up, is for validation
    assert given.labels is not None
    assert sorted(given.labels.tolist()) == sorted([*range(10)] * 4)
    assert given.source.info.preprocessing is not None
    assert given.source.info.preprocessing.mean == (0.5, 0.25, 0.0)
    assert "ImageNet" not in capsys.readouterr().err


def test_what_is_assumed_is_said(resnet: OnnxModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = file_inputs(resnet, str(pictures(tmp_path / "photos", 3)), None)
    assert given.source.info.preprocessing is not None
    assert (given.source.info.preprocessing.mean, given.source.info.preprocessing.std) == IMAGENET
    assert given.labels is None
    told = capsys.readouterr().err
    assert "images are normalised with the mean and std of ImageNet; --normalize gives those of resnet8.onnx" in told
    assert "has 3 classes and resnet8.onnx gives 10 classes: no accuracy is told" in told


def test_arrays_are_for_the_checks_and_the_calibration(text: OnnxModel, tmp_path: Path) -> None:
    ids = np.arange(8 * 16).reshape(8, 16).astype(np.int32) % 100  # a narrower integer says the same
    np.savez(tmp_path / "texts.npz", ids=ids, mask=np.ones((8, 16), np.int64))
    given = file_inputs(text, str(tmp_path / "texts.npz"), None)
    assert given.checks is not None
    assert given.calibration is not None
    assert [array.dtype.name for array in given.checks] == ["int64", "int64"]
    np.testing.assert_array_equal(given.checks[0], ids[[0, 4]])
    np.testing.assert_array_equal(given.calibration[0], ids[[1, 2, 3, 5, 6, 7]])
    assert not given.pixels
    np.savez(tmp_path / "one.npz", ids=ids[:1], mask=np.ones((1, 16), np.int64))
    one = file_inputs(text, str(tmp_path / "one.npz"), None)
    assert one.checks is not None
    assert one.calibration is not None
    np.testing.assert_array_equal(one.checks[0], one.calibration[0])


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"ids": np.zeros((2, 16), np.int64)}, "lacks an array mask, an input of text.onnx"),
        ({"idz": np.zeros((2, 16), np.int64)}, "no input 'idz'; did you mean 'ids'"),
        (
            {"ids": np.zeros((2, 8), np.int64), "mask": np.ones((2, 16), np.int64)},
            r"ids is int64 \(2, 8\), and .* Nx16",
        ),
        (
            {"ids": np.zeros((2, 16)), "mask": np.ones((2, 16), np.int64)},
            "ids holds float64, and text.onnx takes int64",
        ),
        ({"ids": np.zeros((2, 16), np.int64), "mask": np.ones((3, 16), np.int64)}, "mask has 3 rows, and ids 2"),
        ({"ids": np.array([{}, {}], dtype=object), "mask": np.ones((2, 16), np.int64)}, "as an .npz file of arrays"),
        (b"PK\x03\x04 and no more", "as an .npz file of arrays"),
        (b"", "as an .npz file of arrays"),
    ],
)
def test_arrays_that_the_file_doesnt_take(
    text: OnnxModel, tmp_path: Path, arrays: dict[str, np.ndarray] | bytes, words: str
) -> None:
    path = tmp_path / "texts.npz"
    if isinstance(arrays, bytes):
        path.write_bytes(arrays)
    else:
        np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=words) as caught:
        file_inputs(text, str(path), None)
    assert "\n" not in str(caught.value)


def test_images_are_for_files_that_take_them(text: OnnxModel, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"takes ids .* no square image in colour; give an \.npz file .*\(ids, mask\)"):
        file_inputs(text, "digits", None)
    sounds = read_model(onnx_file(tmp_path / "ds.onnx", ds_cnn(), "mfcc"))
    with pytest.raises(DataError, match="no square image in colour"):
        file_inputs(sounds, "digits", None)
    with pytest.raises(ConfigError, match="takes no square image that could be normalised"):
        file_inputs(text, None, IMAGENET)


@pytest.mark.parametrize(
    "normalize", [((0.5,), (0.5,)), ((0.5,) * 3, (0.0, 1.0, 1.0)), ((float("nan"),) * 3, (1.0,) * 3)]
)
def test_means_that_are_none(resnet: OnnxModel, normalize: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
    with pytest.raises(ConfigError, match="mean and std must be 3 numbers each"):
        file_inputs(resnet, None, normalize)
