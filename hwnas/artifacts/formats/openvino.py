"""OpenVINO's IR: the graph as XML and its weights beside it."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from hwnas.artifacts.formats.base import Files, complete
from hwnas.artifacts.structure import Structure, check_written, common_batch
from hwnas.errors import ConfigError, ModelError, first_line
from hwnas.onnx.precision.int8 import OPENVINO, Preset
from hwnas.onnx.read import parsed
from hwnas.progress import Progress
from hwnas.records.target import Target
from hwnas.runtimes.base import Runtime, Session
from hwnas.runtimes.registry import get_runtime

if TYPE_CHECKING:
    import openvino as ov  # type: ignore[import-untyped]

_BACKWARD = ("ConvolutionBackpropData", "GroupConvolutionBackpropData")
_WEIGHTED = ("Convolution", "GroupConvolution", "MatMul", *_BACKWARD)


class OpenVinoFormat:
    """See :class:`hwnas.artifacts.formats.base.Format`. Same graph and version of OpenVINO, same bytes.

    bf16 is asked for when the IR is loaded. An IR whose floats are fp32 says so itself: where nobody asks for a
    precision, OpenVINO computes in bf16 on processors that have it.
    """

    name = "openvino"
    suffixes: tuple[str, ...] = (".xml", ".bin")

    def runtime(self, target: Target) -> Runtime:
        if target.runtime != "openvino":
            raise ConfigError(f"target {target.name}: format openvino runs on runtime openvino, not {target.runtime}")
        return get_runtime("openvino", target.options)

    def preset(self, target: Target) -> Preset:
        return OPENVINO

    def write(self, graph: bytes, target: Target, progress: Progress | None = None) -> Files:
        self.runtime(target)
        import openvino as ov  # the runtime has imported it, without its telemetry
        from openvino.passes import ConstantFolding, Manager  # type: ignore[import-untyped]

        source = parsed(graph).graph
        try:
            model = ov.Core().read_model(graph)
            if model.is_dynamic() and target.batch.fixed:
                model.reshape([target.batch.fixed, *list(model.input(0).get_partial_shape())[1:]])
            if target.precision != "int8":  # it would fold int8 weights and their scales to floats
                passes = Manager()
                passes.register_pass(ConstantFolding())  # else the IR computes the shape of each bias
                passes.run_passes(model)
            _name_alike(model, {node.name for node in source.node} | {weight.name for weight in source.initializer})
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.xml"
                ov.save_model(model, path, compress_to_fp16=False)
                files = {".xml": path.read_bytes(), ".bin": path.with_suffix(".bin").read_bytes()}
            if not target.in_bf16:
                files[".xml"] = _keeping_fp32(files[".xml"])
        except RuntimeError as error:
            raise ModelError(f"OpenVINO can't write the model: {first_line(error)}") from None
        check_written(self.structure(files), graph)
        return files

    def open(self, files: Files, target: Target, *, threads: int, trusted: bool = False) -> Session:
        complete(self, files)
        runtime = self.runtime(target)
        from hwnas.runtimes.openvino import OpenVino

        assert isinstance(runtime, OpenVino)
        return runtime.load_ir(files[".xml"], files[".bin"], threads=threads, precision=target.precision)

    def precisions(self, files: Files, session: Session | None) -> dict[str, int]:
        from hwnas.runtimes.openvino import OpenVinoSession

        return session.precisions() if isinstance(session, OpenVinoSession) else {}

    def structure(self, files: Files) -> Structure:
        get_runtime("openvino")  # imports it without its telemetry
        import openvino as ov

        model = ov.Core().read_model(files[".xml"], files[".bin"])
        if model.is_dynamic():
            model.reshape([1, *list(model.input(0).get_partial_shape())[1:]])
        batch = common_batch([list(port.get_shape()) for port in (*model.inputs, *model.outputs)])
        weights, madds = [], 0
        for op in model.get_ordered_ops():
            kind = op.get_type_name()
            if kind not in _WEIGHTED:
                continue
            first, second = op.input_value(0).get_shape(), math.prod(op.input_value(1).get_shape())
            result = op.get_output_shape(0)
            if _is_constant(op.input_value(1).get_node()):
                weights.append(second)
            if kind == "MatMul":
                inner = first[-2] if op.get_attributes()["transpose_a"] else first[-1]
                madds += math.prod(result) * inner // batch
            else:
                sides = first if kind in _BACKWARD else result
                madds += second * sides[0] * math.prod(sides[2:]) // batch
        return Structure(len(weights), sum(weights), madds)


def _is_constant(node: ov.Node) -> bool:
    """Whether nothing that goes into the network goes into it: a weight, as it is stored or behind conversions."""
    inputs = [value.get_node() for value in node.input_values()]
    return node.get_type_name() == "Constant" or (bool(inputs) and all(map(_is_constant, inputs)))


def _name_alike(model: ov.Model, known: set[str]) -> None:
    """Names that OpenVINO made up end in numbers that depend on what the process did before."""
    for index, op in enumerate(model.get_ordered_ops()):
        if op.get_friendly_name() not in known:
            op.set_friendly_name(f"{op.get_type_name()}_{index}")


def _keeping_fp32(xml: bytes) -> bytes:
    """The IR with OpenVINO's mark against a lower precision on each op: on those with weights alone it fails to run."""
    net = ElementTree.fromstring(xml)  # noqa: S314 (OpenVINO wrote it just now)
    for layer in net.iterfind("layers/layer"):
        if layer.get("type") in ("Const", "Parameter", "Result"):
            continue
        info = layer.find("rt_info")
        if info is None:
            info = ElementTree.Element("rt_info")
            layer.insert(0 if layer.find("data") is None else 1, info)
        ElementTree.SubElement(info, "attribute", name="precise", version="0")
    return bytes(ElementTree.tostring(net, encoding="utf-8", xml_declaration=True))
