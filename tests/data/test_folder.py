"""Folders of images as people have them: what is read, what is split, and what is said of the rest."""

from __future__ import annotations

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hwnas.data import load as data_module
from hwnas.data.doubles import doubles
from hwnas.data.folder import PathSource, read_folder
from hwnas.data.images import Listing
from hwnas.data.load import load_data
from hwnas.errors import DataError
from tests.data.make import sharded
from tests.training.training_cases import folder_of_images

CAFE = unicodedata.normalize("NFC", "café")
CAFE_APART = unicodedata.normalize("NFD", "café")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """20 different pictures of two classes, in no parts."""
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(10):
            picture = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
            picture.save(tmp_path / "photos" / name / f"{index}.png")
    return tmp_path / "photos"


def names(found: Listing, part: str) -> list[str]:
    source, labels = getattr(found, part)
    assert isinstance(source, PathSource)
    assert len(source.paths) == len(labels)
    return [Path(path).parent.name + "/" + Path(path).name for path in source.paths]


def test_a_misspelt_folder_is_told_its_nearest(photos: Path) -> None:
    with pytest.raises(
        DataError, match=r"no folder .*photo; did you mean '.*photos'\? give 'digits', .* <class>/ alone"
    ):
        read_folder(photos.with_name("photo"))


def test_folders_in_a_class_belong_to_it(tmp_path: Path) -> None:
    folder = folder_of_images(tmp_path)
    inner = folder / "train" / "red" / "2019" / "may"
    inner.mkdir(parents=True)
    for index in (2, 3, 4):
        (folder / "train" / "red" / f"{index}.png").rename(inner / f"{index}.png")
    (inner / "round").symlink_to(folder / "train" / "red")  # and links that lead back end
    found = read_folder(folder)
    assert sorted(Path(p).name for p in found.train[0].paths if "red" in p) == [f"{i}.png" for i in range(6)]
    assert found.train[1].tolist() == [0] * 6 + [1] * 6
    assert not found.ignored


@pytest.mark.parametrize("target", ["train", "train/blue", "", "..", "test", "test/red"])
def test_a_link_to_other_images_of_the_data_is_refused(tmp_path: Path, target: str) -> None:
    """Else they are trained on as this class's, or tested on."""
    folder = folder_of_images(tmp_path / "in")
    (folder / "train" / "red" / "loop").symlink_to(folder / target)
    with pytest.raises(DataError, match=r"red/loop is a link to .*, where other images of the data are; remove"):
        read_folder(folder)


def test_links_to_a_class_and_to_more_of_its_images_are_followed(tmp_path: Path) -> None:
    folder = folder_of_images(tmp_path / "in")
    inside, elsewhere = folder / "train" / "red", tmp_path / "elsewhere"
    inside.rename(elsewhere)
    inside.symlink_to(elsewhere)
    (tmp_path / "more").mkdir()
    (elsewhere / "0.png").rename(tmp_path / "more" / "0.png")
    (elsewhere / "more").symlink_to(tmp_path / "more")
    found = read_folder(folder)
    assert found.train[1].tolist() == [0] * 6 + [1] * 6
    told = f"{folder}: links lead out of it to 2 folders of images, as {inside} to {elsewhere.resolve()}"
    assert list(found.remarks) == [told]


def test_what_is_not_read_is_said_by_class_and_ending(tmp_path: Path) -> None:
    folder = folder_of_images(tmp_path)
    for name in ("a.HEIC", "b.heic", "notes.txt", ".DS_Store", "README"):
        (folder / "train" / "red" / name).touch()
    (folder / "train" / "blue" / "deep").mkdir()
    (folder / "train" / "blue" / "deep" / "movie.mp4").touch()
    (folder / "test" / "loose.png").touch()
    found = read_folder(folder)
    assert found.ignored == 7
    assert list(found.remarks) == [
        f"{folder}: 1 .png beside the classes not read",
        f"{folder}: 1 .mp4 in class 'blue' not read: hidden, or no kind that pillow knows",
        f"{folder}: 1 without an ending, 2 .heic, 1 .txt, 1 hidden in class 'red' not read: "
        "hidden, or no kind that pillow knows",
        f"{folder}: HEIC isn't read; convert it, as to JPEG",
    ]


def test_many_endings_are_told_in_short(photos: Path) -> None:
    for day in range(30):
        (photos / "cats" / f"notes.{day:02}").touch()
    told = ", ".join(f"1 .{day:02}" for day in range(10))
    assert f"{told}, more in class 'cats' not read" in read_folder(photos).remarks[0]


def test_a_class_of_nothing_that_is_read_says_what_is_there(tmp_path: Path) -> None:
    folder = folder_of_images(tmp_path)
    for path in (folder / "test" / "red").iterdir():
        path.rename(path.with_suffix(".heic"))
    with pytest.raises(DataError, match=r"test/red has no images that pillow reads \(6 \.heic\)"):
        read_folder(folder)


def test_classes_alone_are_split(photos: Path) -> None:
    found, again = read_folder(photos), read_folder(photos)
    train, test = names(found, "train"), names(found, "test")
    assert len(train) == 16
    assert not set(train) & set(test)
    assert torch.bincount(found.test[1]).tolist() == [2, 2]
    assert [found.classes[label] for label in found.test[1]] == [name.split("/")[0] for name in test]
    assert (names(again, "train"), names(again, "test")) == (train, test)
    assert list(found.remarks) == [
        f"{photos} has no train/ and test/: 4 of its 20 images, 20% of each class, are the test part, "
        "drawn with a fixed seed"
    ]
    data = load_data(str(photos), 16)
    assert [len(part.labels) for part in (data.train, data.validation, data.test)] == [14, 2, 4]


def test_a_split_is_the_same_wherever_the_folder_lies_and_in_memory_or_not(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = load_data(str(photos), 16)
    shutil.copytree(photos, tmp_path / "a" / "b")
    monkeypatch.setattr(data_module, "MEMORY_LIMIT_BYTES", 0)
    far = load_data(str(tmp_path / "a" / "b"), 16)
    everything = torch.arange(4)
    assert torch.equal(near.test.pixels(everything), far.test.pixels(everything))
    assert far.fingerprint == load_data(str(photos), 16).fingerprint


@pytest.mark.parametrize("part", ["Train", "test", "val", "validation"])
def test_parts_are_no_classes(photos: Path, part: str) -> None:
    (photos / "cats").rename(photos / part)
    with pytest.raises(DataError, match="has no train/"):
        read_folder(photos)


def test_one_class_is_none(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no train/, and only one class, 'photos'; give a folder with two or more"):
        read_folder(tmp_path)


def test_an_image_that_is_there_twice_is_counted(photos: Path) -> None:
    """Copies under other names; of large files too, of which only some bytes are read at first."""
    noise = np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photos / "cats" / "large.bmp")
    noise[0, 0] ^= 1
    Image.fromarray(noise).save(photos / "cats" / "alike.bmp")  # all the same but for its last row
    found = read_folder(photos)
    assert not list(doubles(found))
    train, test = found.train[0].paths, found.test[0].paths
    cat, dog = (next(Path(path) for path in train if name in path) for name in ("cats", "dogs"))
    shutil.copy(photos / "cats" / "large.bmp", photos / "cats" / "again.bmp")
    shutil.copy(cat, photos / "dogs" / "cat.png")
    for part, paths in (("train", train), ("test", test)):
        for path in paths:
            target = photos.parent / "parts" / part / Path(path).parent.name / Path(path).name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    shutil.copy(dog, photos.parent / "parts" / "test" / "dogs" / "seen.png")
    shutil.copy(cat, photos.parent / "parts" / "train" / "dogs" / "cat.png")
    shutil.copy(dog, photos.parent / "parts" / "train" / "dogs" / "again.png")
    parts = photos.parent / "parts"
    told = list(doubles(read_folder(parts)))
    both, classes, again = told
    assert both.startswith("1 image is in train and in test, so")
    assert str(parts / "test" / "dogs" / "seen.png") in both
    assert classes.startswith("1 image is in more than one class, so one of them is wrong; ")
    assert str(parts / "train" / "dogs" / "cat.png") in classes
    assert again.startswith("1 image is there more than once; ")
    assert load_data(str(parts), 16).remarks() == told


def test_doubles_in_shards(tmp_path: Path) -> None:
    """The shades of this folder's train images are those of its test images."""
    shards = sharded(folder_of_images(tmp_path / "folder"), tmp_path / "shards")
    (told,) = load_data(str(shards), 16).remarks()
    assert told.startswith("12 images are in train and in test, so accuracies will look better than they are;")
    assert f"(the first: {shards}/train/000.tar: blue/0.png and {shards}/test/000.tar: blue/0.png)" in told


def test_what_is_no_file_is_no_double_and_never_waited_for(tmp_path: Path) -> None:
    folder = folder_of_images(tmp_path, 12)
    for path in (folder / "test").rglob("*.png"):
        Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path, compress_level=0)
    for name in ("a.png", "b.png"):
        os.mkfifo(folder / "train" / "red" / name)
    (folder / "train" / "red" / "c.png").symlink_to("nowhere.png")
    data = load_data(str(folder), 16, corrupt="skip")
    assert data.skipped.count == 3
    assert data.remarks() == []
    with pytest.raises(DataError, match=r"a\.png: not a plain file; repair or remove"):
        load_data(str(folder), 16)


def test_classes_that_differ_in_their_unicode_form(tmp_path: Path) -> None:
    folder = folder_of_images(tmp_path)
    (folder / "train" / "red").rename(folder / "train" / CAFE)
    (folder / "test" / "red").rename(folder / "test" / CAFE_APART)
    with pytest.raises(DataError, match="differs in its Unicode form only"):
        read_folder(folder)
    (folder / "test" / CAFE_APART).rename(folder / "test" / CAFE)
    assert read_folder(folder).classes == ("blue", CAFE)
    for part in ("train", "test"):
        shutil.copytree(folder / part / CAFE, folder / part / CAFE_APART)
    with pytest.raises(DataError, match="has two classes 'café' that differ in their Unicode form only"):
        read_folder(folder)


def test_names_that_arent_utf_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file: read and shown; of a class: refused, as labels.json couldn't hold it."""
    folder = folder_of_images(tmp_path)
    odd = Path(os.fsdecode(os.fsencode(folder / "train" / "red") + b"/\xff.png"))
    shutil.copy(folder / "train" / "red" / "0.png", odd)
    data = load_data(str(folder), 16)
    assert len(data.train.labels) + len(data.validation.labels) == 13
    train = read_folder(folder).train[0]
    assert str(folder / "train" / "red" / "\\xff.png") in map(train.name, range(13))
    assert len(data.remarks()) == 2
    monkeypatch.setattr(data_module, "MEMORY_LIMIT_BYTES", 0)
    assert load_data(str(folder), 16).fingerprint
    odd.write_bytes(b"text")
    monkeypatch.undo()
    assert load_data(str(folder), 16, corrupt="skip").skipped.names == (str(folder / "train" / "red" / "\\xff.png"),)
    for part in ("train", "test"):
        os.rename(os.fsencode(folder / part / "red"), os.fsencode(folder / part) + b"/r\xe9d")
    with pytest.raises(DataError, match=r"train: the class 'r\\\\xe9d' isn't UTF-8; rename it"):
        load_data(str(folder), 16)


def test_a_name_that_no_folder_can_have(tmp_path: Path) -> None:
    for spec in ("x" * 300, "a\0b"):
        with pytest.raises(DataError, match=r"can't read xxx|no folder"):
            load_data(str(tmp_path / spec) if "\0" in spec else spec, 16)


def test_images_that_dont_fit_into_memory_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of_images(tmp_path)
    monkeypatch.setattr(data_module, "MEMORY_LIMIT_BYTES", 2**70)
    with pytest.raises(DataError, match="there isn't enough memory for the images of"):
        load_data(str(folder), 2**24)
