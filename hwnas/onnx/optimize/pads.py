"""Zeros that a Pad node lays around a convolution's input are the convolution's own padding."""

from __future__ import annotations

from onnx import ModelProto, NodeProto

from hwnas.onnx.optimize.edit import Edit, Rewritten, attribute, of_kind

_PADS_ARE_INPUT = 11


def pads_into_convolutions(model: ModelProto) -> Rewritten | None:
    """Pad with zeros behind the channels, read by convolutions alone -> their own padding."""
    edit = Edit(model)
    for pad in of_kind(edit, "Pad"):
        pads, readers = _zeros(edit, pad), edit.readers(pad.output[0])
        if pads is None or pad.output[0] in edit.outputs or not readers or not all(map(_takes_more, readers)):
            continue
        if any(pad.output[0] in reader.input[1:] for reader in readers):
            continue
        for reader in readers:
            own = attribute(reader, "pads", [0] * len(pads))
            edit.set_attribute(reader, "pads", [one + more for one, more in zip(own, pads, strict=True)])
        edit.drop(pad, pad.input[0])
    return edit.done()


def _zeros(edit: Edit, pad: NodeProto) -> list[int] | None:
    """How many at the begins and ends of the axes behind the channels; None where it isn't that and nothing else."""
    if edit.opset < _PADS_ARE_INPUT or attribute(pad, "mode", b"constant") != b"constant" or any(pad.input[3:]):
        return None
    sizes = edit.constant(pad.input[1])
    filled = edit.constant(pad.input[2]) if pad.input[2:] and pad.input[2] else 0.0
    if sizes is None or filled is None or filled != 0 or (sizes < 0).any():
        return None
    begins, ends = sizes.reshape(2, -1).tolist()
    return None if any((*begins[:2], *ends[:2])) else begins[2:] + ends[2:]


def _takes_more(reader: NodeProto) -> bool:
    return reader.op_type == "Conv" and reader.domain == "" and attribute(reader, "auto_pad", b"NOTSET") == b"NOTSET"
