"""Small ONNX models to rewrite, and what they compute: ONNX Runtime without its own optimizations is the oracle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from hwnas.onnx.optimize.edit import Array, Rewritten

Parts = Sequence[tuple[str, Sequence[str], str, Mapping[str, Any]]]
"""(kind, inputs, output, attributes) of nodes."""


def model_of(
    parts: Parts, constants: Mapping[str, Array], shape: Sequence[int | str], *, opset: int = 20, output: str = "y"
) -> ModelProto:
    """A model of nodes, from the input x to ``output``."""
    nodes: list[NodeProto] = [
        helper.make_node(kind, inputs, [given], name=f"{kind} {given}", **attributes)
        for kind, inputs, given, attributes in parts
    ]
    graph = helper.make_graph(
        nodes, "test", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_empty_tensor_value_info(output)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(model)
    return model


def run(model: ModelProto, x: Array) -> Array:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    result: Array = session.run(None, {session.get_inputs()[0].name: x})[0]
    return result


def check(rewrite: Callable[[ModelProto], Rewritten | None], model: ModelProto, *inputs: Array) -> Counter[str]:
    """Hold what a rewrite makes of a model against it on inputs; returns how many nodes of each kind it has."""
    before = model.SerializeToString()
    found = rewrite(model)
    assert model.SerializeToString() == before, "the given model was changed"
    assert found is not None, "there was nothing to rewrite"
    assert found.places
    onnx.checker.check_model(found.model, full_check=True)
    assert [output.name for output in found.model.graph.output] == [output.name for output in model.graph.output]
    for x in inputs:
        expected = run(model, x)
        given = run(found.model, x)
        assert given.shape == expected.shape
        np.testing.assert_allclose(given, expected, rtol=2e-5, atol=2e-5 * max(1.0, float(np.abs(expected).max())))
    again = rewrite(found.model)
    assert again is None, f"rewriting it again changes {again.places}"
    return kinds(found.model)


def kinds(model: ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def images(*shape: int, seed: int = 0, scale: float = 4.0) -> Array:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)
