"""ONNX files as bytes, looked at before anybody's parser sees them.

Part of profiling kits: Python ≥ 3.8, standard library only. The ONNX package, which could tell as well, isn't on every
device; protobuf's wire format is simple enough to walk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_self_contained(model: bytes) -> None:
    """Called before a runtime's own parser sees the model, as most would open any file that a weight names.

    Raises:
        ModelError: not a whole protobuf message, or a tensor's data lies in another file.
    """
    try:
        external = _has_external_data(memoryview(model), "model")
    except (IndexError, ValueError, RecursionError):
        raise ModelError("not an ONNX model, or one cut short") from None
    if external:
        raise ModelError("the model's weights lie in another file; save it with its weights inside")


MOST_PARTS = 1_000_000
"""Fields of nodes and attributes in all: what networks of 30,000 nodes have."""


def check_size(model: bytes, name: str) -> None:
    """Called before a file is parsed: two bytes are a node, which takes a hundred in memory.

    Raises:
        ModelError: not a whole protobuf message, or one of more than :data:`MOST_PARTS`.
    """
    waiting = [("model", memoryview(model))]
    parts = 0
    try:
        while waiting:
            kind, message = waiting.pop()
            for field, content in _fields(message):
                parts += 1
                if parts > MOST_PARTS:
                    raise ModelError(f"{name} is made of more than {MOST_PARTS:,} parts; no network is")
                if _HOLDS[kind].get(field, "tensor") not in ("tensor", "sparse tensor"):
                    waiting.append((_HOLDS[kind][field], content))
    except (IndexError, ValueError):
        raise ModelError(f"{name} is not an ONNX model, or one cut short") from None


# message: {number of a field: the message it holds}, of those on the way to a tensor
_HOLDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


def _has_external_data(message: memoryview, kind: str) -> bool:
    for field, content in _fields(message):
        if kind == "tensor" and (field == _EXTERNAL_DATA or (field == _DATA_LOCATION and content[0])):
            return True
        if field in _HOLDS[kind] and _has_external_data(content, _HOLDS[kind][field]):
            return True
    return False


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(number, content) of each field of a protobuf message."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        start = at
        if tag & 7 == 0:
            at = _varint(message, at)[1]
        elif tag & 7 == 2:
            length, start = _varint(message, at)
            at = start + length
        elif tag & 7 in (1, 5):
            at += 8 if tag & 7 == 1 else 4
        else:
            raise ValueError("no such wire type")
        if at > len(message):
            raise ValueError("cut short")
        yield tag >> 3, message[start:at]


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that starts at ``at``, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
