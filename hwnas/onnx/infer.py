"""Shapes of all values of a graph, inferred in a process of its own.

ONNX's shape inference is native code. It also computes the shapes that a graph computes, and a few dozen nodes that
double each other's outputs keep it busy for years. There it can crash, and has so much time and memory.
It is sent the graph without weights, which takes about 0.3 s, nearly all of it to start Python.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import onnx
from onnx import ModelProto, helper

from hwnas.errors import ModelError, first_line
from hwnas.onnx.bare import large_weights, without_weights
from hwnas.onnx.read import has_branches
from hwnas.own_process import ending, started

LIMIT_S = 30
_MOST_MEMORY = 4 << 30
_REFUSED = 3
"""Exit status: what it printed is why."""


@contextmanager
def shape_inference(limit_s: float = LIMIT_S) -> Iterator[Callable[[ModelProto, str], None]]:
    """A process that starts while the file is still parsed and checked; what is given sends it a model, once.

    It writes the shapes of all values into the model, functions out where they are called, and of each ``If`` whose
    condition follows from shapes the branch that it takes.

    Raises:
        ModelError: they don't fit each other, or nobody can tell within ``limit_s``.
    """
    with started(__name__, stdin=subprocess.PIPE) as process:
        yield partial(_add_shapes, process, limit_s)


def _add_shapes(process: subprocess.Popen[bytes], limit_s: float, proto: ModelProto, name: str) -> None:
    try:
        told, _ = process.communicate(_bare(proto), timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise ModelError(f"{name}: to infer its shapes takes longer than {limit_s:g} s; it isn't taken") from None
    if process.returncode == _REFUSED:
        raise ModelError(f"{name}: its types and shapes don't fit each other: {told.decode(errors='replace')}")
    if process.returncode:
        raise ModelError(f"{name}: a process that infers its shapes ends with {ending(process.returncode)}")
    _write(proto, onnx.load_from_string(told))


def _bare(proto: ModelProto) -> bytes:
    """What the process is sent."""
    weights = large_weights(proto)
    bare = without_weights(proto, {weight.name for weight in weights})
    bare.graph.input.extend(helper.make_tensor_value_info(w.name, w.data_type, w.dims) for w in weights)
    return bytes(bare.SerializeToString())


def _write(proto: ModelProto, shaped: ModelProto) -> None:
    """What the process found, into the model with its weights."""
    known = {weight.name for weight in proto.graph.initializer} | {entry.name for entry in proto.graph.input}
    new = [weight for weight in shaped.graph.initializer if weight.name not in known]
    rewritten = bool(proto.functions) or has_branches(proto)
    for field in ("value_info", "output", *(["node"] if rewritten else [])):  # weights stay where they are
        _replace(proto.graph, shaped.graph, field)
    proto.graph.initializer.extend(new)
    for field in ("functions", "opset_import"):
        _replace(proto, shaped, field)


def _replace(message: ModelProto | onnx.GraphProto, by: ModelProto | onnx.GraphProto, field: str) -> None:
    message.ClearField(field)
    getattr(message, field).extend(getattr(by, field))


def _inferred(data: bytes) -> bytes:
    proto = onnx.load_from_string(data)
    if proto.functions:
        from onnx import inliner

        proto = inliner.inline_local_functions(proto)
    if has_branches(proto):
        from hwnas.onnx.branches import without_branches

        return bytes(without_branches(proto).SerializeToString())
    return bytes(onnx.shape_inference.infer_shapes(proto, data_prop=True).SerializeToString())


def _within_limits() -> None:
    with suppress(ImportError, OSError, ValueError):  # not every system has them
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _within_limits()
    try:
        told, status = _inferred(sys.stdin.buffer.read()), 0
    except Exception as error:  # ONNX's exceptions share no public base
        told, status = first_line(error).encode(), _REFUSED
    sys.stdout.buffer.write(told)
    sys.stdout.buffer.flush()
    sys.exit(status)
