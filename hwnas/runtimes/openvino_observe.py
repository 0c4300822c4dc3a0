"""Every value of an OpenVINO model, as OpenVINO computes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import openvino as ov  # type: ignore[import-untyped]

from hwnas.onnx.observe import INPUT, Feed, Observation, Observed

_FREE = ("Parameter", "Result", "ShapeOf")
"""What has nothing to be shown."""


def observe(core: ov.Core, model: ov.Model, settings: Mapping[str, Any], feeds: Sequence[Feed]) -> Observation:
    """What has a name, and so all that an ONNX file's nodes gave; ``RuntimeError`` where OpenVINO can't."""
    model.reshape({name: list(array.shape) for name, array in feeds[0].items()})
    reads: dict[ov.Output, tuple[str, ...]] = {}
    found = [Observed(name, name, INPUT, (), False, np.stack([feed[name] for feed in feeds])) for name in feeds[0]]
    for port in model.inputs:
        reads[port] = (port.any_name,)
    shown: list[tuple[ov.Output, Observed]] = []
    for op in model.get_ordered_ops():
        if op.get_type_name() in _FREE:
            continue
        sources = [source for entry in op.inputs() for source in reads.get(entry.get_source_output(), ())]
        for output in op.outputs() if sources else ():
            reads[output] = tuple(dict.fromkeys(sources))
            if output.names and output.get_element_type() != ov.Type.string:
                name = min(output.names)
                result = any(entry.get_node().get_type_name() == "Result" for entry in output.get_target_inputs())
                value = Observed(name, op.get_friendly_name(), op.get_type_name(), reads[output], result, np.empty(0))
                shown.append((output, value))
                reads[output] = (name,)
    names = [value.name for _, value in shown]
    model.add_outputs([output for output, value in shown if not value.is_output])
    compiled = core.compile_model(model, "CPU", settings)
    runs = [compiled(dict(feed)) for feed in feeds]
    for (_, value), name in zip(shown, names, strict=True):
        arrays = [np.array(run[name]) for run in runs]
        if len({array.shape for array in arrays}) == 1:
            found.append(value._replace(array=np.stack(arrays)))
    return tuple(found)
