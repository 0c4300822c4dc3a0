"""Training batches per second, against what a training step takes in: is the device ever kept waiting?

    python benchmarks/loader.py [--data FOLDER] [--rounds N] [--batch N]

- digits at 32 pixels in memory, with shifts, against a network of ``macro-w8``;
- JPEG files of 500×375 pixels (random ones made for this, or those of FOLDER), decoded at 256 and cropped to 224, in
  the main process and by one worker, against a network of ``scarlet-s2``.

The loader alone and the step alone take turns, and medians are compared. A step is one path forward, backward and SGD.
The bar is a ratio of 3.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from common import machine
from PIL import Image
from supernet_step import update

from hwnas.data import load as data_module
from hwnas.data.augment import Augment, resize_px
from hwnas.data.batches import Batches
from hwnas.data.load import Data, load_data
from hwnas.evaluation.accuracy import channels_last
from hwnas.nn.network import Network
from hwnas.nn.process import keep_freed_memory
from hwnas.space.registry import get_space
from hwnas.training.gradients import TrainedPath

IMAGES = 256
CPU = torch.device("cpu")


def paint_jpegs(folder: Path) -> None:
    """Two classes of 500×375 pixels and about 100 kB each, as ImageNet's files are."""
    rng = np.random.default_rng(0)
    for part, count in (("train", IMAGES), ("test", 8)):
        for index in range(count):
            noise = Image.fromarray(rng.integers(0, 256, (94, 125, 3), dtype=np.uint8))
            path = folder / part / "ab"[index % 2] / f"{index}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise.resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=85)


def forever(batches: Batches) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    epoch = 0
    while True:
        yield from batches.stream(epoch, 0, CPU)
        epoch += 1


def images_per_second(call: Callable[[], object], batch: int, at_least_s: float = 1.0) -> float:
    """Of a call that handles ``batch`` images."""
    started, calls = time.perf_counter(), 0
    while (seconds := time.perf_counter() - started) < at_least_s or calls < 2:
        call()
        calls += 1
    return calls * batch / seconds


def compare(
    name: str, data: Data, batch: int, augment: Augment, workers: tuple[int, ...], space: str, rounds: int
) -> None:
    """Print one line per number of workers."""
    blueprint = get_space(space, data.resolution, len(data.classes))
    network = channels_last(Network(blueprint, blueprint.sample(1, seed=0)[0]).train())
    for count in workers:
        with closing(Batches(data, batch, augment=augment, seed=0, workers=count)) as batches:
            stream = forever(batches)
            x, _ = next(stream)
            train_step = update(network, [[network]], [TrainedPath(name="", forward=network)], x)
            train_step()
            loaded, trained = [], []
            for _ in range(rounds):
                for _ in range(2 * count):  # what was decoded ahead while the step was timed
                    next(stream)
                loaded.append(images_per_second(lambda stream=stream: next(stream), batch))  # type: ignore[misc]
                trained.append(images_per_second(train_step, batch))
        load, consume = statistics.median(loaded), statistics.median(trained)
        print(
            f"{name}, {augment}, {count} workers, batch {batch}: loader {load:.0f} images/s, "
            f"{space} at {data.resolution} px trains {consume:.1f} images/s, ratio {load / consume:.1f}", flush=True,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with train/<class>/ and test/<class>/, or one of shards")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32, help="of 224-pixel images; the small ones go by 256")
    given = parser.parse_args()
    keep_freed_memory()  # as hwnas train does
    print(f"{machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    compare("digits in memory", load_data("digits", 32), 256, "shift", (0,), "macro-w8", given.rounds)
    with tempfile.TemporaryDirectory() as folder:
        if given.data is None:
            paint_jpegs(Path(folder))
        data_module.MEMORY_LIMIT_BYTES = 0
        data = load_data(str(given.data or folder), 224, resize_px=resize_px("crop", 224))
        compare("JPEG files", data, given.batch, "crop", (0, 1), "scarlet-s2", given.rounds)


if __name__ == "__main__":
    main()
