"""An ``If`` whose condition follows from constants and fixed shapes becomes the branch that it takes.

PyTorch's exporter that traces writes one for a squeeze of a size that it doesn't know.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import count

import onnx
from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto, helper, numpy_helper

from hwnas.onnx.optimize.edit import attribute
from hwnas.onnx.optimize.tidy import fold_constants


def without_branches(proto: ModelProto) -> ModelProto:
    """A model with the shapes of all values, and without each ``If`` of which is known what it takes.

    Several passes, as the shapes behind an ``If`` may be known only when it is gone.

    Raises:
        Exception: as ``onnx.shape_inference.infer_shapes``, whose exceptions share no public base.
    """
    shaped = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    while taken := _known(shaped):
        _take(shaped.graph, taken)
        del shaped.graph.value_info[:]
        for output in shaped.graph.output:
            output.type.tensor_type.ClearField("shape")
        shaped = onnx.shape_inference.infer_shapes(shaped, data_prop=True)
    return shaped


def _known(proto: ModelProto) -> dict[str, bool]:
    """{condition of an ``If``: whether it holds}, of those that follow from constants and shapes."""
    conditions = {node.input[0] for node in proto.graph.node if node.op_type == "If" and node.input}
    if not conditions:
        return {}
    model = _computing(proto, conditions)
    found = fold_constants(model)
    constants = {weight.name: weight for weight in (found.model if found else model).graph.initializer}
    arrays = {name: numpy_helper.to_array(constants[name]) for name in conditions if name in constants}
    return {name: bool(array.reshape(-1)[0]) for name, array in arrays.items() if array.size == 1}


def _computing(proto: ModelProto, conditions: Collection[str]) -> ModelProto:
    """The part of a model that computes them; what an ``If`` gives is an input of it."""
    wanted, nodes = set(conditions), []
    for node in reversed(proto.graph.node):
        if not wanted.isdisjoint(node.output) and node.op_type != "If":
            nodes.append(node)
            wanted.update(node.input)
    nodes.reverse()
    read = {name for node in nodes for name in node.input} | set(conditions)
    given = {name for node in nodes for name in node.output}
    weights = [weight for weight in proto.graph.initializer if weight.name in read]
    inputs = read - given - {weight.name for weight in weights} - {""}
    graph = proto.graph
    known = {value.name: value for value in (*graph.value_info, *graph.output, *graph.input)}
    # a node that gives an output isn't folded, so the conditions aren't outputs themselves
    ends = [helper.make_node("Identity", [name], [f"{name}/known"]) for name in sorted(conditions)]
    part = helper.make_graph(
        [*nodes, *ends],
        "conditions",
        [known.get(name, ValueInfoProto(name=name)) for name in sorted(inputs)],
        [helper.make_empty_tensor_value_info(end.output[0]) for end in ends],
        weights,
    )
    return helper.make_model(part, opset_imports=proto.opset_import, ir_version=proto.ir_version)


def _take(graph: GraphProto, taken: Mapping[str, bool]) -> None:
    """Write the nodes and constants of their branches in place of each ``If`` whose condition is known."""
    names = {value.name for value in (*graph.input, *graph.initializer)}
    names |= {name for node in graph.node for name in node.output}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type == "If" and node.input and node.input[0] in taken:
            branch = attribute(node, "then_branch" if taken[node.input[0]] else "else_branch", GraphProto())
            _rename(branch, _names_outside(branch, node.output, names))
            graph.initializer.extend(branch.initializer)
            nodes.extend(branch.node)
            ends = zip((output.name for output in branch.output), node.output, strict=False)
            nodes += [helper.make_node("Identity", [inside], [end]) for inside, end in ends if end not in ("", inside)]
        else:
            nodes.append(node)
    kept = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    graph.ClearField("node")
    graph.node.extend(kept)


def _names_outside(branch: GraphProto, results: Sequence[str], taken: set[str]) -> dict[str, str]:
    """{value that a branch makes: its name outside}: that of the result it is, else a free one."""
    renamed = {}
    for name in _made(branch):
        numbers = (name if not number else f"{name}.{number}" for number in count())
        renamed[name] = next(each for each in numbers if each not in taken)
        taken.add(renamed[name])
    ends = zip((output.name for output in branch.output), results, strict=False)
    return renamed | {name: end for name, end in ends if name in renamed and end}


def _made(graph: GraphProto) -> list[str]:
    """What isn't of the graph around it."""
    return [
        *(weight.name for weight in graph.initializer),
        *(name for node in graph.node for name in node.output if name),
    ]


def _rename(graph: GraphProto, renamed: Mapping[str, str]) -> None:
    """Values of a graph, wherever they are read in graphs inside of it as well."""
    for weight in graph.initializer:
        weight.name = renamed.get(weight.name, weight.name)
    for output in graph.output:
        output.name = renamed.get(output.name, output.name)
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
        for each in node.attribute:
            for inner in (each.g, *each.graphs) if each.HasField("g") or each.graphs else ():
                hidden = {*_made(inner), *(entry.name for entry in inner.input)}
                _rename(inner, {name: new for name, new in renamed.items() if name not in hidden})
