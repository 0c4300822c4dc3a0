from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from hwnas.errors import DataError
from hwnas.train import data as data_module
from hwnas.train.batches import Batches, mirrored, shifted
from hwnas.train.data import Data, load_data, stratified
from hwnas.train.images import FileImages, Images, decode, spread
from tests.train.training_cases import BLUE, GREEN, RED, folder_of_images, paint


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
    by_hand = (pixels.numpy() / 255 - np.reshape(shipped["mean"], (3, 1, 1))) / np.reshape(shipped["std"], (3, 1, 1))
    np.testing.assert_allclose(digits.normalize(pixels).numpy(), by_hand, atol=1e-5)
    assert (shipped["resolution"], shipped["channel_order"], shipped["layout"]) == (16, "RGB", "NCHW")


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
    pixels = decode(paint(tmp_path / "wide.png", RED, GREEN, BLUE, size=(96, 32)), 16)
    assert pixels.shape == (16, 16, 3)
    assert (pixels[:, 2:-2] == GREEN).all()  # the columns at the very edge mix with their neighbours


def test_an_image_of_the_right_size_is_untouched_and_any_mode_becomes_rgb(tmp_path: Path) -> None:
    from PIL import Image

    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert (decode(tmp_path / "grey.png", 16) == grey[:, :, None]).all()
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    assert (decode(tmp_path / "palette.png", 16) == grey[:, :, None]).all()


def test_a_folder_too_large_for_memory_gives_the_same_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of_images(tmp_path)
    near = load_data(str(tmp_path), 16)
    monkeypatch.setattr(data_module, "MEMORY_LIMIT_BYTES", 0)
    far = load_data(str(tmp_path), 16)
    assert isinstance(far.train, FileImages)
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


def test_fewer_images_than_a_batch(tmp_path: Path) -> None:
    data = load_data(str(folder_of_images(tmp_path)), 16)
    with pytest.raises(DataError, match="fewer than one batch of 64"):
        Batches(data, 64, augment=True, seed=0)


def test_stratified_takes_the_share_of_every_class() -> None:
    labels = torch.tensor([0] * 10 + [1] * 50 + [2] * 2)
    rest, taken = stratified(labels, 0.2, ("a", "b", "c"))
    assert torch.bincount(labels[taken]).tolist() == [2, 10, 1]
    assert sorted(rest.tolist() + taken.tolist()) == list(range(62))


def test_an_epoch_shows_each_image_at_most_once_and_each_epoch_has_its_own_order(digits: Data) -> None:
    batches = Batches(digits, 100, augment=True, seed=0)
    first, second = batches.order(0), batches.order(1)
    assert first.shape == (batches.per_epoch, 100)
    assert len(set(first.flatten().tolist())) == first.numel()
    assert not torch.equal(first, second)
    assert torch.equal(first, Batches(digits, 100, augment=True, seed=0).order(0))
    assert not torch.equal(first, Batches(digits, 100, augment=True, seed=1).order(0))


def test_a_batch_depends_on_seed_epoch_and_step_only(digits: Data) -> None:
    cpu, rows = torch.device("cpu"), torch.arange(20)
    batches = Batches(digits, 20, augment=True, seed=5)
    x, labels = batches.load(rows, 3, 7, cpu)
    assert torch.equal(labels, digits.train.labels[:20])
    assert torch.equal(x, Batches(digits, 20, augment=True, seed=5).load(rows, 3, 7, cpu)[0])
    assert not torch.equal(x, batches.load(rows, 3, 8, cpu)[0])
    assert not torch.equal(x, batches.load(rows, 4, 7, cpu)[0])
    plain = Batches(digits, 20, augment=False, seed=5).load(rows, 3, 7, cpu)[0]
    assert torch.equal(plain, digits.normalize(digits.train.pixels(rows)))


def test_shifted_moves_whole_images_and_fills_the_edge() -> None:
    pixels = torch.arange(1, 257, dtype=torch.uint8).view(1, 1, 16, 16).expand(200, 3, 16, 16)
    fill = torch.tensor([7, 8, 9], dtype=torch.uint8)
    moved = shifted(pixels, fill, torch.Generator().manual_seed(0))
    found = set()
    for image in moved:
        for dy in range(-2, 3):
            for dx in range(-2, 3):
                canvas = fill.view(3, 1, 1).expand(3, 20, 20).clone()
                canvas[:, 2:-2, 2:-2] = pixels[0]
                if torch.equal(image, canvas[:, 2 + dy : 18 + dy, 2 + dx : 18 + dx]):
                    found.add((dy, dx))
                    break
            else:
                continue
            break
        else:
            pytest.fail("an image isn't a shift of its original")
    assert len(found) == 25  # 2 pixels of 16 each way, and all of them come up in 200 draws


def test_mirrored_flips_about_half() -> None:
    pixels = torch.arange(16, dtype=torch.uint8).expand(400, 3, 4, 16)
    result = mirrored(pixels, torch.Generator().manual_seed(0))
    flipped = result[:, 0, 0, 0] == 15
    assert torch.equal(result[flipped], pixels.flip(3)[flipped])
    assert torch.equal(result[~flipped], pixels[~flipped])
    assert 150 < int(flipped.sum()) < 250


@pytest.mark.parametrize(("count", "wanted"), [(10, 3), (10, 10), (3, 10), (1, 1)])
def test_spread_is_even_ascending_and_within(count: int, wanted: int) -> None:
    indices = spread(count, wanted).tolist()
    assert len(indices) == min(count, wanted)
    assert indices == sorted(set(indices))
    assert indices[0] == 0
    assert indices[-1] < count
