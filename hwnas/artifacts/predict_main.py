"""What an artifact's ``predict.py`` does; numpy, pillow and a file's runtime are all it takes.

``predict.py`` is made of this text, of that of :mod:`hwnas.data.pixels`, and of the facts that are empty here.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.data.pixels import read_pixels

HERE = Path(__file__).resolve().parent
TARGETS: dict[str, dict[str, Any]] = {}
"""By target: its ``file``, ``type`` and smallest ``batch`` of what that takes, and what ``floats`` are computed in."""
HOW: dict[str, Any] = {}
"""From pixels to what a file takes, see :class:`hwnas.records.model.Preprocessing`."""
LABELS: list[str] | None = None
"""Of the classes, in the order of the logits."""


# predict.py has what follows
def inputs(path: str, target: str) -> Any:
    """What a target's file takes of an image: normalised (1, 3, R, R), or uint8 (1, R, R, 3) where it does that."""
    size, kind = HOW["resolution"], TARGETS[target]["type"]
    first = (HOW["resize_px"] - size) // 2
    pixels = read_pixels(path, HOW["resize_px"])[first : first + size, first : first + size]
    if kind == "uint8":
        return np.ascontiguousarray(pixels[None])
    mean, std = (np.array(HOW[name], dtype=np.float32) for name in ("mean", "std"))
    scaled = (pixels.astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None]).astype(kind)


def opened(target: str) -> Callable[[Any], Any]:
    """A target's network, from inputs (1, …) to logits (classes,)."""
    facts = TARGETS[target]
    path, batch = HERE / facts["file"], facts["batch"]
    if path.suffix == ".onnx":
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda image: session.run(None, {name: np.repeat(image, batch, axis=0)})[0][0].astype(np.float64)
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # without it nothing is reported home
    import openvino  # type: ignore[import-untyped]

    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": facts["floats"]})
    return lambda image: model(np.repeat(image, batch, axis=0))[0][0].astype(np.float64)


def main() -> int:
    """Answer the command line; 0, or 2 where something asked for can't be had."""
    default = next(iter(TARGETS))
    parser = argparse.ArgumentParser(description="The most likely classes of images, and their probabilities.")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="whatever pillow reads")
    parser.add_argument(
        "--target", choices=list(TARGETS), default=default, help=f"whose file runs; {default} if absent"
    )
    parser.add_argument("--raw", metavar="FILE", help="write there what the target's file takes, and run nothing")
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # pillow's, of damaged metadata; what matters is told below
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # names that a terminal can't show
    try:
        run = None if given.raw else opened(given.target)
    except ImportError as error:
        return _told(f"{given.target} needs {error.name}: pip install {error.name}")
    except Exception as error:  # of a runtime
        return _told(f"can't load {TARGETS[given.target]['file']}: {_line(error)}")
    status, raw = 0, []
    for path in given.images:
        try:
            image = inputs(path, given.target)
        except Exception as error:  # pillow raises anything at a damaged file
            way_out = "; convert it, as to JPEG" if path.lower().endswith((".heic", ".heif")) else ""
            wrong = f"it is a folder; give {os.path.join(path, '*')}" if os.path.isdir(path) else _line(error)
            status = _told(f"can't read {path}: {wrong}{way_out}")
            continue
        if run is None:
            raw.append(image)
            continue
        if len(given.images) > 1:
            print(f"{_plain(path)}:")
        try:
            logits = run(image)
        except Exception as error:  # of a runtime
            return _told(f"{TARGETS[given.target]['file']} fails: {_line(error)}")
        shares = logits if _are_shares(logits) else np.exp(logits - logits.max())
        for index in np.argsort(-logits, kind="stable")[:5]:
            print(f"{shares[index] / shares.sum():.6f}  {_plain(str(LABELS[index] if LABELS else index))}")
    if raw:
        try:
            np.concatenate(raw).tofile(given.raw)
        except OSError as error:
            return _told(f"can't write {given.raw}: {_line(error)}")
    return status


def _are_shares(logits: Any) -> bool:
    """Whether a network gives probabilities itself."""
    return bool(logits.min() >= 0 and abs(logits.sum() - 1) < 0.05)  # 8 bits round them


def _told(line: str) -> int:
    sys.stdout.flush()  # what was found before stands before it
    print(f"predict.py: {_plain(line)}", file=sys.stderr)
    return 2


def _plain(text: str) -> str:
    """In one line, with nothing that a terminal obeys."""
    return "".join(each if each.isprintable() or "\ud800" <= each <= "\udfff" else ascii(each)[1:-1] for each in text)


def _line(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "there isn't enough memory"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split())[:300] or type(error).__name__


if __name__ == "__main__":
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status)
