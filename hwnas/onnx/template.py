"""`Template`: what a module of anybody's computes, as ONNX nodes for any batch, without its weights.

A traced graph is of one batch. It is therefore given twice, for batches of 1 and of 2: where the two differ only in the
first size of what a Reshape makes, that size is the batch, and the template has none. Whatever else differs, differs
from one making of the module to the next, or depends on the batch in a way that no graph for all batches can say.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from hwnas.errors import ModelError
from hwnas.onnx.optimize.batchnorm import fold_batchnorm
from hwnas.onnx.optimize.tidy import fold_constants, leave_out_unread, pass_idle

Arrays = Mapping[str, npt.NDArray[Any]]

_RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")


@dataclass(frozen=True)
class Template:
    """See the module's docstring.

    Attributes:
        model: of one input and one output, the batch open; its weights are further inputs, by their own names.
        input, output: names of the values that go in and come out.
    """

    model: ModelProto
    input: str
    output: str

    @property
    def sha256(self) -> str:
        """Of what it computes: operators, shapes and constants, whatever values are called."""
        graph = self.model.graph
        numbers: dict[str, int] = {}

        def number(name: str) -> int:
            return numbers.setdefault(name, len(numbers)) if name else -1

        told: list[Any] = [[entry.name if entry.name != self.input else "", _dims(entry)] for entry in graph.input]
        for entry in graph.input:
            number(entry.name)
        for weight in sorted(graph.initializer, key=lambda each: _first_use(graph.node, each.name)):
            array = numpy_helper.to_array(weight)
            told.append(
                [number(weight.name), array.dtype.name, array.shape, hashlib.sha256(array.tobytes()).hexdigest()]
            )
        for node in graph.node:
            attributes = sorted(each.SerializeToString(deterministic=True).hex() for each in node.attribute)
            told.append(
                [
                    node.domain,
                    node.op_type,
                    attributes,
                    *([number(n) for n in part] for part in (node.input, node.output)),
                ]
            )
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def filled(self, weights: Arrays) -> ModelProto:
        """With these weights: constants computed, BN folded into the layer before it, what serves nothing left out."""
        model = ModelProto()
        model.CopyFrom(self.model)
        entries = {entry.name: entry for entry in model.graph.input}
        del model.graph.input[:]
        model.graph.input.append(entries.pop(self.input))
        for name, entry in entries.items():
            dtype = helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type)
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(weights[name], dtype, order="C"), name))
        for rewrite in (fold_constants, pass_idle, leave_out_unread, fold_batchnorm):
            rewritten = rewrite(model)
            model = rewritten.model if rewritten else model
        return model


def template_of(of_one: bytes, of_two: bytes, weights: Collection[str]) -> Template:
    """Of a module as it was exported for a batch of 1 and, made anew, of 2.

    Args:
        of_one: the first; no constants are folded in it.
        of_two: the second, likewise.
        weights: names of the initializers that are the module's own, and so not part of what it computes.

    Raises:
        ModelError: the two differ in more than the batch, or it draws random numbers.
    """
    one, two = (_bare(data, weights) for data in (of_one, of_two))
    drawn = [node.op_type for node in one.graph.node if node.op_type in _RANDOM or _drops(node, one)]
    if drawn:
        raise ModelError(f"it draws random numbers ({drawn[0]}) in eval mode as well")
    ours, theirs = (
        [(n.domain, n.op_type, list(n.input), list(n.output), _plain(n)) for n in m.graph.node] for m in (one, two)
    )
    if ours != theirs:
        raise ModelError("it computes other nodes when it is made again, or for another batch")
    shapes = {node.input[1] for node in one.graph.node if node.op_type == "Reshape"}
    shapes -= {
        name
        for node in one.graph.node
        for place, name in enumerate(node.input)
        if (node.op_type, place) != ("Reshape", 1)
    }
    others = {weight.name: numpy_helper.to_array(weight) for weight in two.graph.initializer}
    leading = _batch_leads(one, two)
    for weight in one.graph.initializer:
        here, there = numpy_helper.to_array(weight), others.get(weight.name)
        if (
            there is not None
            and here.dtype == there.dtype
            and np.array_equal(here, there, equal_nan=here.dtype.kind == "f")
        ):
            continue
        leads = weight.name in leading
        if weight.name not in shapes or there is None or (of_any := _of_any_batch(here, there, leads)) is None:
            what = "numbers that are neither parameters nor buffers and differ each time that it is made"
            if here.dtype.kind == "i" or (there is not None and here.shape != there.shape):
                what = "a size that depends on the batch where no graph for all batches can say so"
            raise ModelError(f"it holds {what} ({_reader(one, weight.name)})")
        weight.CopyFrom(numpy_helper.from_array(of_any, weight.name))
    for value in (one.graph.input[0], one.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return Template(one, one.graph.input[0].name, one.graph.output[0].name)


def _bare(data: bytes, weights: Collection[str]) -> ModelProto:
    """The module's own weights become inputs; shapes and what follows from them become constants."""
    model = onnx.load_from_string(data)
    own = [weight for weight in model.graph.initializer if weight.name in weights]
    kept = [weight for weight in model.graph.initializer if weight.name not in weights]
    for weight in own:
        model.graph.input.append(helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    for rewrite in (fold_constants, leave_out_unread):
        rewritten = rewrite(model)
        model = rewritten.model if rewritten else model
    del model.graph.value_info[:]
    return model


def _batch_leads(one: ModelProto, two: ModelProto) -> set[str]:
    """Names of the constants by which Reshapes make something of values whose first size is the batch."""
    first = []
    for model in (one, two):
        graph = onnx.shape_inference.infer_shapes(model).graph
        values = (*graph.input, *graph.value_info, *graph.output)
        first.append({value.name: dims[0] for value in values if (dims := _dims(value))})
    return {
        node.input[1]
        for node in one.graph.node
        if node.op_type == "Reshape" and [each.get(node.input[0]) for each in first] == [1, 2]
    }


def _of_any_batch(of_one: npt.NDArray[Any], of_two: npt.NDArray[Any], leads: bool) -> npt.NDArray[Any] | None:
    """A Reshape's sizes with 0 where the batch ``leads`` before and behind it, else with -1."""
    if of_one.shape != of_two.shape or of_one.ndim != 1:
        return None
    (places,) = np.nonzero(of_one != of_two)
    if len(places) != 1 or of_two[places[0]] != 2 * of_one[places[0]]:
        return None
    found = of_one.copy()
    is_batch = leads and places[0] == 0 and of_one[0] == 1
    if not is_batch and (found == -1).any():
        return None
    found[places[0]] = 0 if is_batch else -1
    return found


def _plain(node: NodeProto) -> list[bytes]:
    return sorted(each.SerializeToString(deterministic=True) for each in node.attribute)


def _drops(node: NodeProto, model: ModelProto) -> bool:
    """Whether it is a Dropout that drops: the mode stands in a constant."""
    if node.op_type != "Dropout" or len(node.input) < 3:
        return False
    known = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}
    return bool(known.get(node.input[2], np.array(False)).any())


def _reader(model: ModelProto, name: str) -> str:
    return next((node.name or node.op_type for node in model.graph.node if name in node.input), name)


def _first_use(nodes: Any, name: str) -> tuple[int, int]:
    for index, node in enumerate(nodes):
        if name in node.input:
            return index, list(node.input).index(name)
    return len(nodes), 0


def _dims(entry: onnx.ValueInfoProto) -> list[int]:
    return [dim.dim_value for dim in entry.type.tensor_type.shape.dim]
