from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hwnas.data import load as data_module
from hwnas.data.images import Images, Skipped, SourceImages, decode, spread
from hwnas.data.load import Data, load_data, stratified
from hwnas.data.pixels import fit
from hwnas.errors import DataError
from tests.training.training_cases import BLUE, GREEN, RED, folder_of_images, paint


def all_pixels(images: Images) -> torch.Tensor:
    return images.pixels(torch.arange(len(images.labels)))


@pytest.fixture(scope="module")
def digits() -> Data:
    return load_data("digits", 16)


def test_digits_are_split_into_three_disjoint_stratified_parts(digits: Data) -> None:
    parts = [digits.train, digits.validation, digits.test]
    sizes = [len(p.labels) for p in parts]
    assert sum(sizes) == 1797
    assert sizes[2] == pytest.approx(0.2 * 1797, abs=10)
    assert sizes[1] == pytest.approx(0.1 * (sizes[0] + sizes[1]), abs=10)
    for part in parts:
        assert part.labels.dtype == torch.int64
        share = torch.bincount(part.labels, minlength=10) / len(part.labels)
        assert ((share - 0.1).abs() < 0.02).all()
    rows = [{bytes(row) for row in all_pixels(p).flatten(1).numpy()} for p in parts]
    assert [a & b for a, b in combinations(rows, 2)] == [set()] * 3


def test_digits_are_grey_and_of_the_resolution(digits: Data) -> None:
    pixels = all_pixels(digits.test)
    assert pixels.shape[1:] == (3, 16, 16)
    assert pixels.dtype == torch.uint8
    assert (pixels[:, 0] == pixels[:, 1]).all()
    assert pixels.max() == 255
    assert digits.classes == tuple("0123456789")
    assert not digits.mirrors


def test_loading_twice_gives_the_same(digits: Data) -> None:
    again = load_data("digits", 16)
    assert again.fingerprint == digits.fingerprint
    assert torch.equal(all_pixels(again.validation), all_pixels(digits.validation))
    assert load_data("digits", 8).fingerprint != digits.fingerprint


def test_normalised_train_images_have_mean_0_and_variance_1(digits: Data) -> None:
    x = digits.normalize(all_pixels(digits.train)).double()
    torch.testing.assert_close(x.mean(dim=(0, 2, 3)), torch.zeros(3).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std(dim=(0, 2, 3)), torch.ones(3).double(), atol=1e-4, rtol=0)


def test_the_shipped_preprocessing_is_what_normalize_does(digits: Data) -> None:
    shipped = digits.preprocessing
    pixels = all_pixels(digits.test)[:5]
    by_hand = (pixels.numpy() / 255 - np.reshape(shipped.mean, (3, 1, 1))) / np.reshape(shipped.std, (3, 1, 1))
    np.testing.assert_allclose(digits.normalize(pixels).numpy(), by_hand, atol=1e-5)
    assert (shipped.resolution, shipped.channel_order, shipped.layout) == (16, "RGB", "NCHW")


def test_test_images_are_normalised_images_of_the_test_part(digits: Data) -> None:
    images = digits.test_images(7)
    assert images.shape == (7, 3, 16, 16)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images[0], digits.normalize(digits.test.pixels(torch.tensor([0])))[0].numpy())


def test_a_folder_is_read_with_its_colours_and_labels(tmp_path: Path) -> None:
    data = load_data(str(folder_of_images(tmp_path)), 16, held_out=0.34)
    assert data.classes == ("blue", "red")
    assert [len(p.labels) for p in (data.train, data.validation, data.test)] == [8, 4, 12]
    for part in (data.train, data.validation, data.test):
        for image, label in zip(all_pixels(part), part.labels, strict=True):
            lit, dark = (2, 0) if label == 0 else (0, 2)
            assert (image[lit] >= 200).all()
            assert (image[dark] == 0).all()
            assert (image[1] == 0).all()
    shades = [s.item() for s in all_pixels(data.test)[:6, 2, 0, 0]]
    assert shades == [255, 245, 235, 225, 215, 205]  # sorted by file name


def test_val_serves_as_test_where_there_is_no_test(tmp_path: Path) -> None:
    folder_of_images(tmp_path)
    (tmp_path / "test").rename(tmp_path / "val")
    assert len(load_data(str(tmp_path), 16).test.labels) == 12


def test_a_wide_image_is_cropped_in_the_centre(tmp_path: Path) -> None:
    pixels = decode(paint(tmp_path / "wide.png", RED, GREEN, BLUE, size=(96, 32)), str, 16)
    assert pixels.shape == (16, 16, 3)
    assert (pixels[:, 2:-2] == GREEN).all()  # the columns at the very edge mix with their neighbours


def test_an_image_of_the_right_size_is_untouched_and_any_mode_becomes_rgb(tmp_path: Path) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert (decode(tmp_path / "grey.png", str, 16) == grey[:, :, None]).all()
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    assert (decode(tmp_path / "palette.png", str, 16) == grey[:, :, None]).all()


def test_a_folder_too_large_for_memory_gives_the_same_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of_images(tmp_path)
    near = load_data(str(tmp_path), 16)
    monkeypatch.setattr(data_module, "MEMORY_LIMIT_BYTES", 0)
    far = load_data(str(tmp_path), 16)
    assert isinstance(far.train, SourceImages)
    for a, b in ((near.train, far.train), (near.validation, far.validation), (near.test, far.test)):
        assert torch.equal(all_pixels(a), all_pixels(b))
        assert torch.equal(a.labels, b.labels)
    assert (near.mean, near.std) == (far.mean, far.std)
    paint(tmp_path / "train" / "red" / "0.png", GREEN, RED, BLUE)  # of another size in bytes
    assert load_data(str(tmp_path), 16).fingerprint != far.fingerprint


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    before = load_data(str(folder_of_images(tmp_path / "a")), 16).fingerprint
    assert load_data(str(folder_of_images(tmp_path / "b")), 16).fingerprint == before
    paint(tmp_path / "b" / "train" / "red" / "0.png", (254, 0, 0))
    assert load_data(str(tmp_path / "b"), 16).fingerprint != before


def test_an_image_of_which_a_larger_square_is_decoded_has_the_same_centre(tmp_path: Path) -> None:
    """Resize to 20, crop 16: by the whole data set, in memory and not, and by pillow alone."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 3), ("test", 1)):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            for index in range(count):
                size = (40 + index, 31 - index)
                noise = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
                noise.save(tmp_path / part / name / f"{index}.png")
    data = load_data(str(tmp_path), 16, resize_px=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data_module, "MEMORY_LIMIT_BYTES", 0)
        far = load_data(str(tmp_path), 16, resize_px=20)
    assert all_pixels(data.uncropped).shape == (4, 3, 20, 20)
    assert torch.equal(all_pixels(data.train), all_pixels(data.uncropped)[:, :, 2:18, 2:18])
    assert torch.equal(all_pixels(data.validation), all_pixels(far.validation))
    image = Image.open(tmp_path / "test" / "b" / "0.png").resize((26, 20), Image.Resampling.BILINEAR)
    expected = np.asarray(image.crop((5, 2, 21, 18)))
    np.testing.assert_array_equal(all_pixels(data.test)[1].permute(1, 2, 0).numpy(), expected)
    assert data.preprocessing.resize == "shorter side to 20 pixels (pillow BILINEAR), then centre crop"
    assert (data.preprocessing.resize_px, data.preprocessing.resolution) == (20, 16)
    assert "16-bit grey v becomes v/257" in str(data.preprocessing.decoding)


@pytest.mark.parametrize("resize_px", [14, 17])
def test_a_square_that_has_no_centre_of_the_resolution(resize_px: int) -> None:
    with pytest.raises(DataError, match="by an even number"):
        load_data("digits", 16, resize_px=resize_px)


def test_a_large_jpeg_is_decoded_small_and_is_nearly_the_same(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC)
    image.save(tmp_path / "large.jpg", quality=95)
    with Image.open(tmp_path / "large.jpg") as whole:
        expected = fit(whole.convert("RGB"), 32).astype(int)
    assert np.abs(decode(tmp_path / "large.jpg", str, 32) - expected).mean() < 1.5
    assert (decode(tmp_path / "large.jpg", str, 200) == fit(Image.open(tmp_path / "large.jpg"), 200)).all()


def _break(path: Path) -> None:
    path.write_bytes(b"this is text")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


WRONG_FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "no folder"),
    "no train": (lambda f: shutil.rmtree(f / "train"), "has no train/"),
    "no test": (lambda f: shutil.rmtree(f / "test"), "neither test/ nor val/"),
    "no classes": (lambda f: [shutil.rmtree(f / "train" / c) for c in ("red", "blue")], "has no classes"),
    "class only in train": (lambda f: shutil.rmtree(f / "test" / "red"), "class 'red' is only in"),
    "class only in test": (lambda f: shutil.rmtree(f / "train" / "red"), "class 'red' is only in"),
    "no images": (lambda f: [p.unlink() for p in (f / "test" / "red").iterdir()], "has no images"),
    "one image": (lambda f: [p.unlink() for p in (f / "train" / "red").glob("[1-9].png")], "2 or more"),
    "text in an image": (lambda f: _break(f / "train" / "red" / "3.png"), "3.png"),
    "half an image": (lambda f: _truncate(f / "test" / "blue" / "2.png"), "2.png"),
    "a folder where an image should be": (lambda f: (f / "train" / "red" / "odd.png").mkdir(), "odd.png"),
}


@pytest.mark.parametrize("case", WRONG_FOLDERS)
def test_a_wrong_folder_is_one_line_that_names_it(case: str, tmp_path: Path) -> None:
    damage, expected = WRONG_FOLDERS[case]
    folder = folder_of_images(tmp_path / "data")
    damage(folder)
    with pytest.raises(DataError, match=expected) as caught:
        load_data(str(folder), 16)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message or "class 'red'" in message


@pytest.fixture
def two_broken(tmp_path: Path) -> Path:
    """Of 24 images, a train and a test image can't be decoded."""
    folder = folder_of_images(tmp_path / "data")
    _break(folder / "train" / "red" / "3.png")
    _truncate(folder / "test" / "blue" / "5.png")
    (folder / "train" / "red" / "notes.txt").touch()
    return folder


def test_broken_images_are_left_out_of_memory_and_named(two_broken: Path) -> None:
    data = load_data(str(two_broken), 16, corrupt="skip")
    assert data.skipped.count == 2
    assert [Path(name).relative_to(two_broken).as_posix() for name in data.skipped.names] == [
        "test/blue/5.png", "train/red/3.png",
    ]  # fmt: skip
    assert len(data.test.labels) == 11
    assert len(data.train.labels) + len(data.validation.labels) == 11
    assert data.ignored == 1
    seen = torch.cat([all_pixels(data.train), all_pixels(data.validation)])[:, 0, 0, 0].tolist()
    assert sorted(v for v in seen if v) == [205, 215, 235, 245, 255]  # 3.png had 225


def test_broken_images_are_replaced_by_the_next_of_their_class_where_they_are_decoded_on_access(
    two_broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_module, "MEMORY_LIMIT_BYTES", 0)
    data = load_data(str(two_broken), 16, corrupt="skip")
    assert len(data.test.labels) == 12
    for _ in range(2):
        shades = all_pixels(data.test)[:6, 2, 0, 0].tolist()
        assert shades == [255, 245, 235, 225, 215, 255]  # the last one's next is the first
    for part in (data.train, data.validation):
        for image, label in zip(all_pixels(part), part.labels, strict=True):
            assert image[2 if label == 0 else 0].min() >= 200
    assert data.skipped.count == 2


def test_more_than_a_tenth_is_too_much(two_broken: Path) -> None:
    _break(two_broken / "train" / "blue" / "0.png")
    with pytest.raises(DataError, match="3 of 24 images can't be decoded, more than 10%") as caught:
        load_data(str(two_broken), 16, corrupt="skip")
    assert "can't decode" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_image_that_could_be_skipped_says_so() -> None:
    for images, told in (
        (10, "x; repair or remove the file, or have it skipped (corrupt_images: skip)"),
        (9, "x; repair or remove the file"),
    ):
        with pytest.raises(DataError) as caught:
            Skipped(allowed=0, images=images).add("x", "x; repair or remove the file")
        assert str(caught.value) == told


def test_an_image_is_counted_once() -> None:
    skipped = Skipped(allowed=2, images=20)
    for name in ("b", "a", "b", "a"):
        skipped.add(name, f"can't decode {name}")
    assert (skipped.count, skipped.names) == (2, ("a", "b"))
    assert skipped.since(1) == [("a", "can't decode a")]
    with pytest.raises(DataError, match=r"3 of 20 .* the first: can't decode b"):
        skipped.add("c", "can't decode c")


def test_stratified_takes_the_share_of_every_class() -> None:
    labels = torch.tensor([0] * 10 + [1] * 50 + [2] * 2)
    rest, taken = stratified(labels, 0.2, ("a", "b", "c"))
    assert torch.bincount(labels[taken]).tolist() == [2, 10, 1]
    assert sorted(rest.tolist() + taken.tolist()) == list(range(62))


@pytest.mark.parametrize(("count", "wanted"), [(10, 3), (10, 10), (3, 10), (1, 1)])
def test_spread_is_even_ascending_and_within(count: int, wanted: int) -> None:
    indices = spread(count, wanted).tolist()
    assert len(indices) == min(count, wanted)
    assert indices == sorted(set(indices))
    assert indices[0] == 0
    assert indices[-1] < count
