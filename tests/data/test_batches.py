from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch

from hwnas.data import load as data_module
from hwnas.data.augment import Augment, resize_px
from hwnas.data.batches import Batches
from hwnas.data.images import SourceImages
from hwnas.data.load import Data, load_data
from hwnas.errors import ConfigError, DataError
from tests.data.make import sharded
from tests.interrupts import heed_ctrl_c
from tests.training.training_cases import folder_of_images

_ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
Batch = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def digits() -> Data:
    return load_data("digits", 16)


@pytest.fixture
def on_access(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_module, "MEMORY_LIMIT_BYTES", 0)


def same(found: list[Batch], expected: list[Batch]) -> bool:
    assert len(found) == len(expected)
    return all(torch.equal(x, y) and torch.equal(a, b) for (x, a), (y, b) in zip(found, expected, strict=True))


def workers() -> list[int | None]:
    return [child.pid for child in multiprocessing.active_children()]


def test_fewer_images_than_a_batch(tmp_path: Path) -> None:
    data = load_data(str(folder_of_images(tmp_path)), 16)
    with pytest.raises(DataError, match="fewer than one batch of 64"):
        Batches(data, 64, augment="shift", seed=0)


def test_an_epoch_shows_each_image_at_most_once_and_each_epoch_has_its_own_order(digits: Data) -> None:
    batches = Batches(digits, 100, augment="shift", seed=0)
    first, second = batches.order(0), batches.order(1)
    assert first.shape == (batches.per_epoch, 100)
    assert len(set(first.flatten().tolist())) == first.numel()
    assert not torch.equal(first, second)
    assert torch.equal(first, Batches(digits, 100, augment="shift", seed=0).order(0))
    assert not torch.equal(first, Batches(digits, 100, augment="shift", seed=1).order(0))


@pytest.mark.parametrize("augment", ["shift", "crop"])
def test_a_batch_depends_on_seed_epoch_and_step_only(augment: Augment) -> None:
    data = load_data("digits", 16, resize_px=resize_px(augment, 16))
    rows = torch.arange(20)
    pixels = data.uncropped.pixels(rows)
    batches = Batches(data, 20, augment=augment, seed=5)
    x, labels = batches.view(pixels, rows, 3, 7, CPU)
    assert x.shape == (20, 3, 16, 16)
    assert torch.equal(labels, data.train.labels[:20])
    assert torch.equal(x, Batches(data, 20, augment=augment, seed=5).view(pixels, rows, 3, 7, CPU)[0])
    assert not torch.equal(x, Batches(data, 20, augment=augment, seed=6).view(pixels, rows, 3, 7, CPU)[0])
    assert not torch.equal(x, batches.view(pixels, rows, 3, 8, CPU)[0])
    assert not torch.equal(x, batches.view(pixels, rows, 4, 7, CPU)[0])


def test_without_augmentation_a_batch_is_the_normalised_images(digits: Data) -> None:
    rows = torch.arange(20)
    plain = Batches(digits, 20, augment="none", seed=5).view(digits.uncropped.pixels(rows), rows, 3, 7, CPU)[0]
    assert torch.equal(plain, digits.normalize(digits.train.pixels(rows)))


def test_data_of_another_size_than_the_augmentation_takes(digits: Data) -> None:
    with pytest.raises(DataError, match="was loaded with resize_px 16; augment 'crop' takes 18"):
        Batches(digits, 20, augment="crop", seed=0)
    with pytest.raises(DataError, match="was loaded with resize_px 18; augment 'none' takes 16"):
        Batches(load_data("digits", 16, resize_px=18), 20, augment="none", seed=0)


@pytest.mark.parametrize("augment", ["none", "shift", "crop"])
@pytest.mark.parametrize("world", [2, 3, 4])
def test_the_shares_of_all_processes_are_the_batch_of_one(augment: Augment, world: int, tmp_path: Path) -> None:
    data = load_data(str(folder_of_images(tmp_path, 20)), 16, resize_px=resize_px(augment, 16))
    assert data.mirrors
    whole = list(Batches(data, 12, augment=augment, seed=1).stream(2, 1, CPU))
    shares = [Batches(data, 12, augment=augment, seed=1, rank=r, world=world).stream(2, 1, CPU) for r in range(world)]
    for step, parts in enumerate(zip(*shares, strict=True)):
        assert all(len(labels) == 12 // world for _, labels in parts)
        assert torch.equal(torch.cat([x for x, _ in parts]), whole[step][0])
        assert torch.equal(torch.cat([labels for _, labels in parts]), whole[step][1])
    assert len(whole) == 36 // 12 - 1


def test_a_batch_that_cannot_be_divided(digits: Data) -> None:
    with pytest.raises(ConfigError, match="batch 10 can't be divided among 3 processes"):
        Batches(digits, 10, augment="none", seed=0, world=3)


def test_a_stream_is_the_batches_of_an_epoch(digits: Data) -> None:
    batches = Batches(digits, 200, augment="shift", seed=0, workers=3)
    rows = list(enumerate(batches.order(4)))[2:]
    expected = [batches.view(digits.uncropped.pixels(row), row, 4, step, CPU) for step, row in rows]
    assert same(list(batches.stream(4, 2, CPU)), expected)
    assert not workers()  # there is nothing to decode


def _folder(root: Path) -> str:
    return str(folder_of_images(root))


def _shards(root: Path) -> str:
    return str(sharded(folder_of_images(root / "folder"), root / "shards"))


def _foreign(root: Path) -> str:
    return "python:tests.data.foreign_cases:Pil"


@pytest.mark.parametrize("make", [_folder, _shards, _foreign])
@pytest.mark.usefixtures("on_access")
def test_workers_change_no_byte_and_stay_until_they_are_closed(make: Callable[[Path], str], tmp_path: Path) -> None:
    data = load_data(make(tmp_path), 16, resize_px=18)
    alone = Batches(data, 4, augment="crop", seed=3, rank=1, world=2)
    before = torch.get_rng_state()
    busy = threading.Thread(target=lambda: torch.randn(64, 64, generator=torch.Generator()).mm(torch.eye(64)))
    busy.start()
    busy.join()
    with closing(Batches(data, 4, augment="crop", seed=3, rank=1, world=2, workers=1)) as batches:
        assert same(list(batches.stream(0, 0, CPU)), list(alone.stream(0, 0, CPU)))
        first = workers()
        assert len(first) == 1
        next(stopped := batches.stream(1, 0, CPU))  # left in the middle, as by an error in the loop
        assert same(list(batches.stream(1, 1, CPU)), list(alone.stream(1, 1, CPU)))
        assert workers() == first
        stopped.close()
    assert not workers()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.usefixtures("on_access")
def test_what_a_worker_cannot_decode_is_replaced_and_counted_here(tmp_path: Path) -> None:
    data = load_data(str(folder_of_images(tmp_path)), 16, corrupt="skip")
    assert isinstance(data.train, SourceImages)
    broken = data.train.source.name(int(data.train.indices[3]))
    Path(broken).write_bytes(b"x")
    count = len(data.train.labels)
    with closing(Batches(data, count, augment="none", seed=0, workers=1)) as batches:
        found = [batch for epoch in range(2) for batch in batches.stream(epoch, 0, CPU)]
    assert (data.skipped.count, data.skipped.names) == (1, (broken,))
    alone = Batches(data, count, augment="none", seed=0)
    assert same(found, [batch for epoch in range(2) for batch in alone.stream(epoch, 0, CPU)])
    assert data.skipped.count == 1


@pytest.mark.usefixtures("on_access")
def test_an_error_of_a_worker_is_the_one_line_that_it_is_without(tmp_path: Path) -> None:
    folder = folder_of_images(tmp_path)
    data = load_data(str(folder), 16)
    for path in (folder / "train").rglob("*.png"):
        path.write_bytes(b"x")
    messages = []
    for count in (0, 1):
        with (
            closing(Batches(data, 8, augment="none", seed=0, workers=count)) as batches,
            pytest.raises(DataError, match=r"^can't decode .*png: not an image") as caught,
        ):
            next(batches.stream(0, 0, CPU))
        assert not workers()
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "\n" not in messages[1]
    assert caught.value.__cause__ is None


@pytest.mark.usefixtures("on_access")
def test_a_worker_that_is_killed_is_one_line(tmp_path: Path) -> None:
    data = load_data(str(folder_of_images(tmp_path, 25)), 16)
    with closing(Batches(data, 2, augment="none", seed=0, workers=1)) as batches:
        stream = batches.stream(0, 0, CPU)
        next(stream)
        (worker,) = workers()
        assert worker
        os.kill(worker, signal.SIGKILL)
        while workers():  # reaps it; nothing is raised here, where nobody could tell what for
            time.sleep(0.01)
        with pytest.raises(DataError, match="a process that decodes images died"):
            list(stream)
    subprocess.run(["true"], check=True)  # and no later child is blamed


@pytest.fixture
def streaming(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    folder = folder_of_images(tmp_path)
    command = [sys.executable, "-m", "tests.data.streaming_process", str(folder)]
    process = subprocess.Popen(
        command, cwd=_ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=heed_ctrl_c,
    )  # fmt: skip
    yield process
    process.kill()
    process.wait()


def test_control_c_ends_the_workers_as_well(streaming: subprocess.Popen[str]) -> None:
    assert streaming.stdout is not None
    pids = [int(word) for word in streaming.stdout.readline().split()[1:]]
    assert len(pids) == 1
    os.killpg(streaming.pid, signal.SIGINT)  # as a terminal does it
    out, err = streaming.communicate(timeout=60)
    assert out.splitlines()[-1] == "interrupted 0"
    assert err == ""
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
