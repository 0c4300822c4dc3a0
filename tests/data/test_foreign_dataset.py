from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hwnas.data import load as data_module
from hwnas.data.foreign import DatasetSource
from hwnas.data.images import Images, SourceImages
from hwnas.data.load import load_data
from hwnas.data.pixels import fit
from hwnas.errors import DataError
from tests.data.foreign_cases import COUNT, grey

CASES = "python:tests.data.foreign_cases"


def all_pixels(images: Images) -> torch.Tensor:
    return images.pixels(torch.arange(len(images.labels)))


@pytest.mark.parametrize("limit", [0, 2**32])
@pytest.mark.parametrize("kind", ["Pil", "Hwc", "Chw", "Plain", "Namespace.maker"])
def test_images_of_any_kind_are_resized_and_keep_their_labels(
    kind: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_module, "MEMORY_LIMIT_BYTES", limit)
    data = load_data(f"{CASES}:{kind}", 16)
    assert isinstance(data.test, SourceImages) == (limit == 0)
    assert data.classes == (("0", "1", "2") if kind == "Plain" else ("one", "two", "three"))
    assert data.mirrors == (kind != "Plain")
    assert data.test.labels.tolist() == [index % 3 for index in range(COUNT)]
    for index, pixels in enumerate(all_pixels(data.test)):
        expected = fit(Image.fromarray(grey("test", index)[:, :, 0]).convert("RGB"), 16)
        np.testing.assert_array_equal(pixels.permute(1, 2, 0).numpy(), expected)
    assert len(data.train.labels) + len(data.validation.labels) == COUNT


def test_chw_with_three_channels_and_hwc_with_one_are_told_apart() -> None:
    source = DatasetSource(f"{CASES}:Pil", "train")
    wide = np.arange(3 * 8 * 8, dtype=np.uint8).reshape(3, 8, 8)
    assert np.array_equal(np.asarray(source._pil(0, wide)), wide.transpose(1, 2, 0))
    assert np.array_equal(np.asarray(source._pil(0, wide[0][:, :, None])), np.stack([wide[0]] * 3, axis=2))


def test_the_fingerprint_tells_data_sets_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in (2**32, 0):
        monkeypatch.setattr(data_module, "MEMORY_LIMIT_BYTES", limit)
        same = [load_data(f"{CASES}:{kind}", 16).fingerprint for kind in ("Pil", "Hwc")]
        assert same[0] == same[1]  # the same images and classes
    assert load_data(f"{CASES}:Plain", 16).fingerprint != same[0]  # other class names
    monkeypatch.setattr("tests.data.foreign_cases.COUNT", COUNT + 1)
    assert load_data(f"{CASES}:Pil", 16).fingerprint != same[0]


def test_only_the_import_path_is_sent_to_other_processes() -> None:
    source = DatasetSource(f"{CASES}:Pil", "train")
    source.image(0, 8)
    sent = pickle.dumps(source)
    assert len(sent) < 200
    assert (pickle.loads(sent).image(5, 16) == source.image(5, 16)).all()


@pytest.mark.parametrize("limit", [0, 2**32])
def test_an_item_that_cannot_be_read(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_module, "MEMORY_LIMIT_BYTES", limit)
    with pytest.raises(DataError, match="Broken: train item 3 raised OSError: the disk is on fire; repair"):
        load_data(f"{CASES}:Broken", 16)
    data = load_data(f"{CASES}:Broken", 16, corrupt="skip")
    all_pixels(data.train), all_pixels(data.validation)
    assert data.skipped.names == (f"{CASES}:Broken: train item 3",)
    assert len(data.train.labels) + len(data.validation.labels) == COUNT - (limit > 0)


def test_a_truncated_file_that_pillow_opens_lazily(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "image.jpg")
    (tmp_path / "image.jpg").write_bytes((tmp_path / "image.jpg").read_bytes()[:2000])
    monkeypatch.setattr("tests.data.foreign_cases.Pil.image", lambda self, index: Image.open(tmp_path / "image.jpg"))
    with pytest.raises(DataError, match="train item 0 raised OSError: image file is truncated"):
        load_data(f"{CASES}:Pil", 16)


MISUSES = {
    "python:": "isn't an import path; write python:package.module:callable",
    "python:tests": "isn't an import path",
    "python::Pil": "isn't an import path",
    "python:no.such.module:thing": "can't import .*ModuleNotFoundError.*PYTHONPATH",
    "python:tests.train:": "isn't an import path",
    f"{CASES}:Absent": "can't import .*AttributeError",
    f"{CASES}:number": "is int, which can't be called",
    f"{CASES}:Fails": "called with 'train' it raised FileNotFoundError: no train here",
    f"{CASES}:nothing": "gave list, not a data set",
    f"{CASES}:none": "gave NoneType, not a data set",
    f"{CASES}:Stream": "gave Stream, not a data set",
    f"{CASES}:OnlyItem": r"train item 0 is Image.*; give \(image, label\)",
    f"{CASES}:FloatImage": r"has Tensor torch.float32 torch.Size\(\[3, 20, 20\]\) as image; give a PIL image, or uint8",
    f"{CASES}:TwoChannels": r"has ndarray uint8 \(20, 20, 2\) as image",
    f"{CASES}:TextLabel": "train item 0 has the label 'one'; give an integer",
    f"{CASES}:FloatLabel": "has the label 1.0; give an integer",
    f"{CASES}:Negative": "train item 0 has the label -1; labels count from 0",
    f"{CASES}:OutOfRange": "train item 2 has the label 2, but there are 2 classes",
    f"{CASES}:NewInTest": "test item 5 has the label 7, but there are 3 classes",
    f"{CASES}:TwiceTheSame": "name one twice",
    f"{CASES}:OtherClasses": "train and test have different classes",
    f"{CASES}:FewTargets": "has 12 items and 11 targets",
    f"{CASES}:LyingTargets": "train item 0 has the label 1, but targets says 0",
}


@pytest.mark.parametrize("spec", MISUSES)
@pytest.mark.parametrize("corrupt", ["fail", "skip"])
def test_a_misuse_is_one_line(spec: str, corrupt: str) -> None:
    with pytest.raises(DataError, match=MISUSES[spec]) as caught:
        load_data(spec, 16, corrupt=corrupt)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
