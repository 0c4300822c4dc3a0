"""What is never slower: constants computed once, nodes that change nothing taken out, what nobody reads left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

import numpy as np
from onnx import ModelProto, NodeProto, helper
from onnx.reference import ReferenceEvaluator

from hwnas.onnx.optimize.edit import Array, Edit, Rewritten, attribute, of_kind

_NOT_FOLDED = (
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
    "QuantizeLinear", "DequantizeLinear",
)  # fmt: skip
"""Random numbers differ from run to run; folding a quantized weight would make it a float."""
_MOST_NUMBERS = 1 << 20
_OF_TEXT = ("value_string", "value_strings", "sparse_value")


def fold_constants(model: ModelProto) -> Rewritten | None:
    """Whatever follows from constants and fixed shapes is computed now; what is computed may fix further shapes."""
    places: dict[str, None] = {}
    while found := _folded_once(model):
        model = found.model
        places |= dict.fromkeys(found.places)
    return Rewritten(model, tuple(places)) if places else None


def _folded_once(model: ModelProto) -> Rewritten | None:
    edit = Edit(model)
    for node in list(edit.nodes):
        if node.domain in ("", "ai.onnx") and len(node.output) == 1 and node.output[0] not in edit.outputs:
            array = _value(edit, node)
            if array is not None:
                edit.become_constant(node, array)
    return edit.done()


def pass_idle(model: ModelProto) -> Rewritten | None:
    """Nodes that give what they take, as Identity and a Cast or Reshape that changes nothing, are passed by."""
    edit = Edit(model)
    for node in of_kind(edit, *_IDLE):
        changes = any(name and (edit.readers(name) or name in edit.outputs) for name in node.output[1:])
        if not changes and _IDLE[node.op_type](edit, node):
            edit.drop(node, node.input[0])
    return edit.done()


def leave_out_unread(model: ModelProto) -> Rewritten | None:
    """Nodes and constants that nothing reads are left out."""
    edit = Edit(model)
    edit.remove_unread()
    return edit.done()


def _value(edit: Edit, node: NodeProto) -> Array | None:
    """What a node gives, where that is always the same."""
    if node.op_type == "Constant":
        return None if node.attribute[0].name in _OF_TEXT else _evaluated(edit, node)
    if node.op_type in ("Shape", "Size"):
        shape = edit.shape(node.input[0])
        if shape is None or not all(isinstance(size, int) for size in shape):
            return None
        sizes = np.array(shape, np.int64)
        if node.op_type == "Size":
            return np.array(prod(sizes.tolist()), np.int64)
        return sizes[attribute(node, "start", 0) : attribute(node, "end", None)]
    given = [name for name in node.input if name]
    if node.op_type in _NOT_FOLDED or not given or any(edit.constant(name) is None for name in given):
        return None
    shape = edit.shape(node.output[0])
    if shape is None or not all(isinstance(size, int) for size in shape) or prod(map(int, shape)) > _MOST_NUMBERS:
        return None
    return _evaluated(edit, node)


def _evaluated(edit: Edit, node: NodeProto) -> Array | None:
    given = {name: edit.constant(name) for name in node.input if name}
    graph = helper.make_graph(
        [node], "one", [helper.make_empty_tensor_value_info(name) for name in given],
        [helper.make_empty_tensor_value_info(node.output[0])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", edit.opset)])
    try:
        (array,) = ReferenceEvaluator(model).run(None, given)
    except Exception:  # whatever an operator that ONNX's evaluator lacks, or can't do, raises: the node stays
        return None
    return array if isinstance(array, np.ndarray) else None


def _same_type(edit: Edit, node: NodeProto) -> bool:
    return bool(edit.kind(node.input[0]) == attribute(node, "to", 0))


def _same_shape(edit: Edit, node: NodeProto) -> bool:
    before, after = edit.shape(node.input[0]), edit.shape(node.output[0])
    return before is not None and before == after and "" not in before


def _same_order(edit: Edit, node: NodeProto) -> bool:
    order = list(attribute(node, "perm", []))
    return bool(order) and order == sorted(order)


def _not_training(edit: Edit, node: NodeProto) -> bool:
    training = node.input[2] if len(node.input) > 2 else ""
    array = edit.constant(training) if training else np.array(False)
    return edit.opset >= _DROPOUT_BY_INPUT and array is not None and not array.any()


_DROPOUT_BY_INPUT = 7
"""Before, an attribute said whether it is for training."""
_IDLE: Mapping[str, Callable[[Edit, NodeProto], bool]] = {
    "Identity": lambda edit, node: True,
    "Dropout": _not_training,
    "Cast": _same_type,
    "Concat": lambda edit, node: len(node.input) == 1,
    "Transpose": _same_order,
} | dict.fromkeys(("Expand", "Flatten", "Reshape", "Squeeze", "Unsqueeze"), _same_shape)
