"""A process that is interrupted while it streams: ``python -m tests.data.streaming_process FOLDER``.

Prints the ids of its workers and a word when the first batch has come, and waits for Ctrl-C from then on.
"""

from __future__ import annotations

import multiprocessing
import sys
from contextlib import closing

import torch

from hwnas.data import load as data_module
from hwnas.data.batches import Batches
from hwnas.data.load import load_data


def main(folder: str) -> None:
    """Stream one epoch after another."""
    data_module.MEMORY_LIMIT_BYTES = 0
    with closing(Batches(load_data(folder, 16), 4, augment="shift", seed=0, workers=1)) as batches:
        for epoch in range(10**9):
            for _ in batches.stream(epoch, 0, torch.device("cpu")):
                if epoch == 0:
                    print("streaming", *(child.pid for child in multiprocessing.active_children()), flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        print("interrupted", len(multiprocessing.active_children()), flush=True)
