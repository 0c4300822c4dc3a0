"""What hwnas does in processes of their own, done in this one: quicker than to start one each time, and the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import onnx
from onnx import ModelProto

from hwnas.arrays import Port
from hwnas.artifacts import process_memory
from hwnas.artifacts.formats.base import Files
from hwnas.errors import ModelError, first_line
from hwnas.onnx import infer
from hwnas.records.target import Target


@contextmanager
def shapes_here() -> Iterator[Callable[[ModelProto, str], None]]:
    """In place of :func:`hwnas.onnx.infer.shape_inference`."""

    def add_shapes(proto: ModelProto, name: str) -> None:
        try:
            told = infer._inferred(infer._bare(proto))
        except Exception as error:
            why = first_line(error)
            raise ModelError(f"{name}: its types and shapes don't fit each other: {why}") from None
        infer._write(proto, onnx.load_from_string(told))

    yield add_shapes


def memory_here(files: Files, target: Target, feed: Sequence[Port], *, trusted: bool = False) -> float | None:
    """In place of :func:`hwnas.artifacts.process_memory.peak_memory_mb`: what it adds to this process."""
    try:
        return max(0.0, process_memory._measure_here(files, target, feed, trusted=trusted))
    except Exception:  # there, the process ends with an exit status
        return None
