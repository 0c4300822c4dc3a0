"""``predict.py``: images' classes with numpy, pillow and a runtime, prepared as hwnas prepares images."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from types import ModuleType

from hwnas.artifacts import predict_main
from hwnas.data import pixels
from hwnas.records.artifact import ExportedFile
from hwnas.records.model import Preprocessing
from hwnas.records.network import NetworkRecord
from hwnas.version import __version__

PREDICT = "predict.py"

_SCRIPT = '''\
"""The most likely classes of images:

    python predict.py IMAGE...
    python predict.py --target NAME IMAGE...      by another target's file; --help has their names
    python predict.py --raw FILE IMAGE...         writes what the file takes of images, for another program

Needs numpy, pillow and {runtimes}. Written by hwnas {version}.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import stat
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

HERE = Path(__file__).resolve().parent
TARGETS = {targets}
HOW = {how}
LABELS = json.loads((HERE / "labels.json").read_text("utf-8"))

{pixels}

{main}'''
_FROM = "# predict.py has what follows\n"
_COLOURS = 3
_RUNTIME_OF = {".onnx": "onnxruntime", ".xml": "openvino"}


def predict_script(
    network: NetworkRecord, files: Sequence[ExportedFile], preprocessing: Preprocessing | None
) -> bytes | None:
    """The script for a network's files; None where there is nothing for it to do, see :func:`predicts`."""
    chosen = sorted((file for file in files if _runtime(file)), key=_rank)
    if network.image_chw is None or not predicts(network, files):
        return None
    size = network.image_chw[1]
    guess = {"resolution": size, "resize_px": size, "mean": [0.5] * 3, "std": [0.25] * 3}
    how = 'json.loads((HERE / "preprocessing.json").read_text("utf-8"))'
    return _SCRIPT.format(
        version=__version__,
        runtimes=" or ".join(dict.fromkeys(map(_runtime, chosen))),
        targets=json.dumps({file.target: _facts(file) for file in chosen}, ensure_ascii=False, indent=4),
        how=how if preprocessing else f"{json.dumps(guess)}  # a guess",
        pixels=_text(pixels), main=_text(predict_main),
    ).encode()  # fmt: skip


def predicts(network: NetworkRecord, files: Sequence[ExportedFile]) -> bool:
    """Whether a square image in colour goes in and classes come out, of a file that runs on a processor."""
    square = network.image_chw is not None and network.image_chw[0] == _COLOURS and len({*network.image_chw[1:]}) == 1
    return square and network.classes is not None and runnable(files) is not None


def runnable(files: Sequence[ExportedFile]) -> ExportedFile | None:
    """The file that ``predict.py`` runs: the first ONNX for processors, else OpenVINO's, else an ONNX for GPUs."""
    return min((file for file in files if _runtime(file)), key=_rank, default=None)


def _rank(file: ExportedFile) -> tuple[bool, bool]:
    return file.settings.options.get("provider", "cpu") != "cpu", _runtime(file) != "onnxruntime"


def _runtime(file: ExportedFile) -> str:
    return _RUNTIME_OF.get(file.file.removeprefix(file.target), "")


def _facts(file: ExportedFile) -> dict[str, str | int]:
    target = file.settings
    floats = "bf16" if target.in_bf16 else "f32"
    return {"file": file.file, "type": file.inputs[0].dtype, "batch": target.batch.min, "floats": floats}


def _text(module: ModuleType) -> str:
    return inspect.getsource(module).partition(_FROM)[2]
