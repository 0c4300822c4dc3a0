"""Runs a model and sees every value on the way: what two models are held against each other by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, helper

from hwnas.arrays import Array
from hwnas.errors import ModelError, first_line
from hwnas.onnx.model import port_of

Feed = Mapping[str, Array]
"""{name of an input: what it gets}: one inference."""

INPUT = "input"
"""What an input of a model has for an operator."""

_OF_SHAPES = ("Shape", "Size")
"""Operators whose results are constants of a model of fixed shapes."""


class Observed(NamedTuple):
    """A value that was seen when a model ran.

    Attributes:
        name: of the value.
        node, op: what gives it, by name, and its operator; of the model's own inputs :data:`INPUT`.
        reads: names of the observed values that it was computed of.
        is_output: whether the model gives it to whoever runs it.
        array: (feeds, …), what it was for each feed.
    """

    name: str
    node: str
    op: str
    reads: tuple[str, ...]
    is_output: bool
    array: Array


Observation = tuple[Observed, ...]
"""Of one model, in the order in which its nodes run; what doesn't depend on the model's inputs isn't in it."""


def observe(proto: ModelProto, feeds: Sequence[Feed]) -> Observation:
    """Run a model of fixed shapes node by node on ONNX Runtime's CPU provider, as the file has it.

    Raises:
        ModelError: ONNX Runtime can't run it, or doesn't take the feeds.
    """
    return observation(proto, feeds, list(node_by_node(proto, feeds)))


def observation(proto: ModelProto, feeds: Sequence[Feed], runs: Sequence[Mapping[str, Array]]) -> Observation:
    """Of a model that ran on ``feeds``: ``runs`` has the values of each, by name.

    What has another shape for another feed is left out.
    """
    graph = proto.graph
    runs = [{**feed, **run} for feed, run in zip(feeds, runs, strict=True)]
    given = {output.name for output in graph.output}
    steps: list[tuple[str, str, str, tuple[str, ...]]]
    steps = [(entry.name, entry.name, INPUT, ()) for entry in graph.input]
    steps += [(name, node.name or name, node.op_type, tuple(node.input)) for node in graph.node for name in node.output]
    found: dict[str, Observed] = {}
    for name, node_name, op, inputs in steps:
        reads = () if op in _OF_SHAPES else tuple(each for each in inputs if each in found)
        arrays = [run[name] for run in runs if name in run]
        if (reads or op == INPUT) and arrays and len({array.shape for array in arrays}) == 1:
            found[name] = Observed(name, node_name, op, reads, name in given, np.stack(arrays))
    return tuple(found.values())


def showing_all(proto: ModelProto) -> ModelProto:
    """The same model, which gives what each of its nodes gives, in their order."""
    showing = ModelProto()
    showing.CopyFrom(proto)
    for node in showing.graph.node:
        node.name = ""  # ONNX Runtime takes no name that is there twice
    kinds = {output.name: output for output in proto.graph.output}
    del showing.graph.output[:]
    names = [name for node in proto.graph.node for name in node.output if name and node.op_type != "Constant"]
    showing.graph.output.extend(kinds.get(name) or helper.make_empty_tensor_value_info(name) for name in names)
    return showing


def node_by_node(proto: ModelProto, feeds: Sequence[Feed]) -> Iterator[dict[str, Array]]:
    """{name: value} of all tensors that the model's nodes give, for each feed; none of its nodes are fused.

    Raises:
        ModelError: as :func:`observe`.
    """
    showing = showing_all(proto)
    names = [output.name for output in showing.graph.output]
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what fails is raised as well
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    inputs = {port_of(entry).name for entry in proto.graph.input}
    try:
        session = ort.InferenceSession(showing.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for feed in feeds:
            given = session.run(names, {name: feed[name] for name in inputs})
            yield {name: array for name, array in zip(names, given, strict=True) if isinstance(array, np.ndarray)}
    except Exception as error:  # its exception classes share no public base
        raise ModelError(f"can't run the model to see its values: {first_line(error)}") from None
