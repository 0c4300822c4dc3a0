"""``predict.py``: an image's classes with numpy, pillow and one runtime, prepared as hwnas prepares images."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hwnas.records.artifact import ExportedFile
from hwnas.records.model import Preprocessing
from hwnas.version import __version__

PREDICT = "predict.py"

_SCRIPT = '''\
"""The most likely classes of an image: python predict.py IMAGE

Needs numpy, pillow and {runtime}. It runs {file}; written by hwnas {version}.
"""

import json
import sys
from pathlib import Path

import numpy as np
import {runtime}
from PIL import Image

here = Path(__file__).resolve().parent
how = {how}
labels = json.loads((here / "labels.json").read_text("utf-8"))
resize, size = how["resize_px"], how["resolution"]

image = Image.open(sys.argv[1])
image.draft(None, (2 * resize, 2 * resize))  # a large JPEG is decoded at a part of its size
width, height = (max(resize, round(side * (resize / min(image.size)))) for side in image.size)
left, top = (width - size) // 2, (height - size) // 2
image = image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
pixels = np.asarray(image.crop((left, top, left + size, top + size)))
{prepare}

{run}
shares = np.exp(logits - logits.max())
for index in np.argsort(-logits, kind="stable")[:5]:
    print(f"{{shares[index] / shares.sum():.6f}}  {{labels[index] if labels else index}}")
'''

_FLOATS = """\
mean, std = (np.array(how[name], dtype=np.float32) for name in ("mean", "std"))
scaled = (pixels.astype(np.float32) / 255 - mean) / std
batch = np.repeat(scaled.transpose(2, 0, 1)[None], {batch}, axis=0).astype(np.{type})"""
_PIXELS = "batch = np.repeat(pixels[None], {batch}, axis=0)  # the rest of the preprocessing is part of the graph"

_RUNS = {
    "onnxruntime": """\
session = onnxruntime.InferenceSession(here / "{file}", providers=["CPUExecutionProvider"])
logits = session.run(None, {{session.get_inputs()[0].name: batch}})[0][0].astype(np.float64)""",
    "openvino": """\
model = openvino.Core().compile_model(here / "{file}", "CPU", {{"INFERENCE_PRECISION_HINT": "{hint}"}})
logits = model(batch)[0][0].astype(np.float64)""",
}
_RUNTIME_OF = {".onnx": "onnxruntime", ".xml": "openvino"}


def predict_script(files: Sequence[ExportedFile], preprocessing: Preprocessing | None, size: int) -> bytes | None:
    """The script for files whose input is ``size`` pixels a side; None where none of them runs on a processor."""
    file = runnable(files)
    if file is None:
        return None
    guess = {"resolution": size, "resize_px": size, "mean": [0.5] * 3, "std": [0.25] * 3}
    how = 'json.loads((here / "preprocessing.json").read_text("utf-8"))'
    runtime = _runtime(file)
    prepare = _PIXELS if file.input.type == "uint8" else _FLOATS
    hint = "bf16" if file.settings.precision == "bf16" else "f32"
    return _SCRIPT.format(
        runtime=runtime, file=file.file, version=__version__,
        how=how if preprocessing else f"{json.dumps(guess)}  # a guess",
        prepare=prepare.format(batch=file.settings.batch.min, type=file.input.type),
        run=_RUNS[runtime].format(file=file.file, hint=hint),
    ).encode()  # fmt: skip


def runnable(files: Sequence[ExportedFile]) -> ExportedFile | None:
    """The file that ``predict.py`` runs: the first ONNX for processors, else OpenVINO's, else an ONNX for GPUs."""

    def rank(file: ExportedFile) -> tuple[bool, bool]:
        return file.settings.options.get("provider", "cpu") != "cpu", _runtime(file) != "onnxruntime"

    return min((file for file in files if _runtime(file)), key=rank, default=None)


def _runtime(file: ExportedFile) -> str:
    return _RUNTIME_OF.get(file.file.removeprefix(file.target), "")
