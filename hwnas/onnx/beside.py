"""Weights that lie in files beside a model (ONNX's external data): those in its own folder are taken in, no others."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, prod
from pathlib import Path

from onnx import ModelProto, TensorProto, helper

from hwnas.errors import ModelError
from hwnas.files import plain_file, reason
from hwnas.onnx.read import nodes_of


def take_in(proto: ModelProto, name: str, folder: Path | None, most_bytes: int) -> None:
    """Read them into the model.

    Nothing is read before all of it is known to be in the folder and to fit into what is left of a model.

    Raises:
        ModelError: a file is missing, too short, or outside the folder (``..``, an absolute path, a link that leads
            out); a size isn't the weight's; they have more than ``most_bytes``; or there is no folder.
    """
    outside = [tensor for tensor in _tensors(proto) if tensor.data_location == TensorProto.EXTERNAL]
    if not outside:
        return
    if folder is None:
        raise ModelError(f"{name}: its weights lie in another file; save it with its weights inside")
    places = [(tensor, *_place(tensor, f"{name}: its weight {tensor.name}", folder)) for tensor in outside]
    if (needed := sum(size for *_, size in places)) > most_bytes:
        raise ModelError(f"{name}: its weights have {needed / 1e9:.1f} GB; a model of more than 2 GB isn't taken")
    for tensor, path, offset, size in places:
        try:
            with open(path, "rb") as file:
                file.seek(offset)
                tensor.raw_data = file.read(size)
        except OSError as problem:
            raise ModelError(f"{name}: can't read {path}: {reason(problem)}") from None
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")


def _tensors(proto: ModelProto) -> Iterator[TensorProto]:
    yield from proto.graph.initializer
    for graph in (proto.graph, *proto.functions):
        for node in nodes_of(graph):
            for attribute in node.attribute:
                yield from (attribute.t, *attribute.tensors)
                for inner in (attribute.g, *attribute.graphs):
                    yield from inner.initializer


def _place(tensor: TensorProto, what: str, folder: Path) -> tuple[Path, int, int]:
    """Of a weight: its file, and where in it, in bytes, it begins and how many it has."""
    said = {entry.key: entry.value for entry in tensor.external_data}
    location = said.get("location", "")
    inside = Path(location)
    if not location or inside.is_absolute() or ".." in inside.parts or "\0" in location:
        raise ModelError(f"{what} lies at {location!r}; weights are read from the model's own folder only")
    path = plain_file(folder / inside, ModelError)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ModelError(f"{what} lies behind a link out of the model's folder, {path}; copy the file itself there")
    try:
        offset, size = int(said.get("offset", 0)), _bytes(tensor)
        length = int(said.get("length", size))
    except (ValueError, KeyError):
        raise ModelError(f"{what} doesn't say how many bytes it has in {path}") from None
    if length != size:
        raise ModelError(f"{what} has {size:,} bytes, and {length:,} of {path} are said to be it")
    whole = path.stat().st_size
    if not 0 <= offset <= whole - size:
        raise ModelError(f"{what} is said to be bytes {offset:,} to {offset + size:,} of {path}, which has {whole:,}")
    return path, offset, size


def _bytes(tensor: TensorProto) -> int:
    if any(size < 0 for size in tensor.dims):
        raise ValueError
    bits = {"int4": 4, "uint4": 4, "float4e2m1": 4, "int2": 2, "uint2": 2}
    kind = TensorProto.DataType.Name(tensor.data_type).lower()
    each = bits.get(kind) or 8 * int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    return ceil(int(prod(tensor.dims)) * each / 8)
