"""Any ONNX graph, altered as what it says: one line, or a model that is whole and of fixed shapes."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

from hwnas.errors import ModelError
from hwnas.onnx.count import count_model
from hwnas.onnx.model import OnnxModel, model_of
from tests.fuzzing import EXAMPLES, one_line_or_nothing

pytestmark = pytest.mark.usefixtures("shapes_apart")

node = helper.make_node


def model() -> ModelProto:
    weights = {
        "w": np.ones((4, 3, 3, 3), np.float32), "scale": np.ones(4, np.float32), "shape": np.int64([1, -1]),
        "l": np.ones((16, 5), np.float32),
    }  # fmt: skip
    graph = helper.make_graph(
        [
            node("Conv", ["x", "w"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
            node("BatchNormalization", ["c", "scale", "scale", "scale", "scale"], ["b"]),
            node("Constant", [], ["two"], value=numpy_helper.from_array(np.float32(2))),
            node("Pow", ["b", "two"], ["p"]),
            node("Reshape", ["p", "shape"], ["r"]),
            node("MatMul", ["r", "l"], ["m"]),
            node("Softmax", ["m"], ["y"], axis=1),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 4, 4))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 5))],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def altered(message: Message, rng: random.Random) -> None:
    """A field somewhere inside set to another value, removed, doubled, or moved."""
    while True:
        fields = [field for field, _ in message.ListFields()]
        field = rng.choice(fields) if fields and rng.random() < 0.9 else rng.choice(message.DESCRIPTOR.fields)
        value: Any = getattr(message, field.name)
        several = hasattr(value, "__len__") and not isinstance(value, str | bytes)
        if (several and not len(value)) or rng.random() < 0.05:
            message.ClearField(field.name)
            return
        if field.message_type and rng.random() < 0.9:
            message = rng.choice(value) if several else value
            continue
        if several:
            kept = list(value)
            change = rng.randrange(3)
            if field.message_type is None and change == 0:
                kept[rng.randrange(len(kept))] = other(field, rng)
            elif change == 1:
                kept.insert(rng.randrange(len(kept) + 1), rng.choice(kept))
            else:
                del kept[rng.randrange(len(kept))]
            kept = [type(each).FromString(each.SerializeToString()) if field.message_type else each for each in kept]
            del value[:]
            value.extend(kept)
        elif field.message_type:
            message.ClearField(field.name)
        else:
            setattr(message, field.name, other(field, rng))
        return


def other(field: FieldDescriptor, rng: random.Random) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return rng.choice(
            ["", "x", "y", "c", "w", "shape", "Conv", "Reshape", "If", "é\0", "../..", "axis", "x" * 5000]
        )
    if field.type == FieldDescriptor.TYPE_BYTES:
        return rng.choice([b"", b"\xff" * 16, bytes(12), b"NOTSET"])
    if field.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        return rng.choice([0.0, -1.0, 1e30, float("nan"), float("inf")])
    if field.type == FieldDescriptor.TYPE_ENUM:
        return rng.choice([value.number for value in field.enum_type.values])
    return rng.choice([0, 1, 2, -1, 7, 16, 2**31 - 1])


@pytest.mark.fuzz
def test_any_graph() -> None:
    rng = random.Random(0)
    taken = 0
    for _ in range(EXAMPLES // 3):
        changed = model()
        for _ in range(rng.randint(1, 3)):
            altered(changed, rng)
        with one_line_or_nothing():
            opened = model_of(changed.SerializeToString(), "net.onnx")
            taken += 1
            assert isinstance(opened, OnnxModel)
            assert all(size > 0 for port in opened.inputs for size in port.shape)
            onnx.load_from_string(opened.data)
            with one_line_or_nothing():
                count_model(opened)
    assert 0 < taken < EXAMPLES // 3


def test_the_graph_itself_is_taken() -> None:
    assert [node.madds for node in count_model(model_of(model().SerializeToString(), "n")).nodes if node.madds] == [
        4 * 4 * 27, 16 * 5,
    ]  # fmt: skip
    with pytest.raises(ModelError):
        model_of(model().SerializeToString(), "n", {"x": (2, 3, 4, 4)})


@pytest.mark.fuzz
@pytest.mark.filterwarnings("ignore")
def test_every_operator_of_onnx() -> None:
    """ONNX's own cases of its operators: whatever they hold, they are taken, counted or refused."""
    cases = [case.model for case in collect_testcases(None)]
    counted = 0
    for case in random.Random(0).sample(cases, EXAMPLES // 5):
        with one_line_or_nothing():
            found = count_model(model_of(case.SerializeToString(), "net.onnx"))
            assert all(node.uncounted for node in found.uncounted)
            counted += 1
    assert counted > EXAMPLES // 15
