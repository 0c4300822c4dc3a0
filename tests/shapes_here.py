"""Shapes inferred in this process, which is quicker than to start one for each model, and gives the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import onnx
from onnx import ModelProto

from hwnas.errors import ModelError, first_line
from hwnas.onnx import infer


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
