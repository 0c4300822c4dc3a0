"""OpenVINO on the CPU."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from hwnas.errors import ModelError, RuntimeMissingError
from hwnas.onnx.wire import check_self_contained
from hwnas.runtimes.base import check_precision, missing, options_in_force

# Importing OpenVINO reports home and leaves an identity in the home folder, unless the package that does so is absent.
_telemetry = sys.modules.get("openvino_telemetry")
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
try:
    import openvino as ov  # type: ignore[import-untyped]
except Exception as error:
    raise missing("openvino", "pip install 'hwnas[openvino]'", error) from None
finally:
    del sys.modules["openvino_telemetry"]
    if _telemetry is not None:
        sys.modules["openvino_telemetry"] = _telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hwnas.arrays import Array
    from hwnas.graph.kernel import Launch
    from hwnas.onnx.observe import Feed, Observation

_HINTS = {"fp32": "f32", "bf16": "bf16"}  # without one, some processors would get bf16 where fp32 was asked
_COMPUTED = {"fp32": ("f32",), "bf16": ("bf16",), "int8": ("i8", "u8")}
_OURS = {"f32": "fp32", "i8": "int8", "u8": "int8"}
_WEIGHTED = ("Convolution", "FullyConnected")

if TYPE_CHECKING:
    _Shapes = tuple[tuple[int, ...], ...]


class OpenVino:
    """See :class:`hwnas.runtimes.base.Runtime`.

    Options: ``streams``, how many inferences OpenVINO prepares to run beside each other; they share the threads.
    ``floats`` (fp32, bf16): what an int8 graph's floats are computed in, fp32 unless it is given.

    Raises:
        ConfigError: an unknown option or value.
    """

    name = "openvino"
    precisions: tuple[str, ...] = ("fp32", "bf16", "int8")
    runs_as_is = False

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        known: dict[str, tuple[str, ...]] = {"streams": ("1", "2", "4", "8", "16")}
        if options and "floats" in options:
            known["floats"] = ("fp32", "bf16")
        self.options = options_in_force(self.name, known, options)
        self._core = ov.Core()

    def version(self) -> str:
        return str(ov.__version__).partition("-")[0]

    def accelerator(self) -> str | None:
        return None

    def prepare(self, model: bytes, precision: str) -> bytes:
        check_precision(self, precision)
        if precision != "int8":
            return model
        from hwnas.onnx.precision.int8 import OPENVINO, quantize, random_feeds

        return quantize(model, random_feeds(model), OPENVINO)

    def kernels(self, model: bytes, precision: str) -> tuple[Launch, ...]:
        from hwnas.runtimes.openvino_kernels import kernels_of

        settings = self._settings(1, precision)

        def execution_graph(model: bytes) -> ov.Model:
            try:
                return self._core.compile_model(self._core.read_model(model), "CPU", settings).get_runtime_model()
            except RuntimeError as error:
                raise ModelError(f"OpenVINO can't load the model: {_reason(error)}") from None

        return kernels_of(model, execution_graph)

    def load(self, model: bytes, *, threads: int, precision: str, as_is: bool = False) -> OpenVinoSession:
        check_self_contained(model)
        return self._load(lambda: self._core.read_model(model), threads, precision, checked=not as_is)

    def load_ir(self, xml: bytes, weights: bytes, *, threads: int, precision: str) -> OpenVinoSession:
        """A session of OpenVINO's own format, which takes the batches it was written for.

        Raises:
            ModelError: not that format, or damaged.
            RuntimeMissingError: this processor lacks the precision.
        """
        return self._load(lambda: self._read_ir(xml, weights), threads, precision, checked=True)

    def observe(self, model: bytes, feeds: Sequence[Feed], *, precision: str) -> Observation:
        """See :class:`hwnas.runtimes.base.ShowsValues`: each value is a result, so that its node isn't fused."""
        check_self_contained(model)
        return self._observe(lambda: self._core.read_model(model), feeds, precision)

    def observe_ir(self, xml: bytes, weights: bytes, feeds: Sequence[Feed], *, precision: str) -> Observation:
        """The same of OpenVINO's own format; raises as `load_ir`."""
        return self._observe(lambda: self._read_ir(xml, weights), feeds, precision)

    def _observe(self, read: Callable[[], ov.Model], feeds: Sequence[Feed], precision: str) -> Observation:
        from hwnas.runtimes.openvino_observe import observe

        settings = self._settings(1, precision)
        try:
            return observe(self._core, read(), settings, feeds)
        except RuntimeError as error:
            raise ModelError(f"OpenVINO can't run the model to see its values: {_reason(error)}") from None

    def _read_ir(self, xml: bytes, weights: bytes) -> ov.Model:
        # OpenVINO would try its readers of other formats as well, some of which open files that a model names
        if not xml.startswith(b"<?xml") or b"<!" in xml:
            raise ModelError("not OpenVINO's IR: XML without declarations of its own is expected")
        return self._core.read_model(xml, weights)

    def _load(self, read: Callable[[], ov.Model], threads: int, precision: str, *, checked: bool) -> OpenVinoSession:
        settings = self._settings(threads, precision)
        try:
            return OpenVinoSession(self._core, read(), settings, precision, checked=checked)
        except RuntimeError as error:
            raise ModelError(f"OpenVINO can't load the model: {_reason(error)}") from None

    def _settings(self, threads: int, precision: str) -> dict[str, Any]:
        check_precision(self, precision)
        floats = self.options.get("floats", "fp32") if precision == "int8" else precision
        if floats == "bf16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise RuntimeMissingError("this processor has no bf16 arithmetic that OpenVINO uses; use fp32 or int8")
        return {
            "INFERENCE_PRECISION_HINT": _HINTS[floats],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": int(self.options["streams"]),
            "ENABLE_CPU_PINNING": False,  # a pinned thread waits for its core while another core is free
        }


class OpenVinoSession:
    """See :class:`hwnas.runtimes.base.Session`.

    OpenVINO is faster where it knows all shapes, so there is a compiled network for the shapes of each call.

    Raises:
        ModelError: the model takes or gives nothing, or isn't computed in the precision.
    """

    def __init__(
        self, core: ov.Core, model: ov.Model, settings: dict[str, Any], precision: str, *, checked: bool
    ) -> None:
        if not model.inputs or not model.outputs:
            raise ModelError(
                f"the model has {len(model.inputs)} inputs and {len(model.outputs)} outputs, it needs some"
            )
        self._core = core
        self._model = model
        self._settings = settings
        self._precision = precision
        self._checked = checked
        self._compiled: dict[_Shapes, ov.CompiledModel] = {}
        self._takes = [port.get_partial_shape() for port in model.inputs]
        self._compile(tuple(tuple(1 if n.is_dynamic else n.get_length() for n in shape) for shape in self._takes))

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        request = self._request(inputs)
        request.infer()
        return tuple(np.array(output.data) for output in request.output_tensors)

    def bind(self, inputs: Sequence[Array]) -> Callable[[], None]:
        inputs = [np.asarray(each, order="C") for each in inputs]
        request = self._request(inputs)

        def call(kept: Sequence[Array] = inputs) -> None:  # OpenVINO reads NumPy's memory and doesn't own it
            request.infer(share_outputs=True)  # no copy of the outputs

        return call

    def precisions(self) -> dict[str, int]:
        """{precision: layers with weights that compute in it}, of the network compiled last."""
        told = [p for compiled in list(self._compiled.values())[-1:] for p in _weighted_precisions(compiled)]
        return {_OURS.get(name, name): told.count(name) for name in sorted(set(told))}

    def _request(self, inputs: Sequence[Array]) -> ov.InferRequest:
        shapes = tuple(each.shape for each in inputs)
        if shapes not in self._compiled:
            self._compile(shapes)
        request = self._compiled[shapes].create_infer_request()
        for index, each in enumerate(inputs):
            request.set_input_tensor(index, _tensor(each, self._model.input(index).get_element_type()))
        return request

    def _compile(self, shapes: _Shapes) -> None:
        for takes, shape in zip(self._takes, shapes):  # noqa: B905  (Python 3.8)
            if not takes.compatible(ov.PartialShape(shape)):
                raise ModelError(f"the model takes an input of {takes}, not {list(shape)}")
        self._model.reshape(dict(zip(self._model.inputs, map(ov.PartialShape, shapes))))  # noqa: B905
        compiled = self._core.compile_model(self._model, "CPU", self._settings)
        computed = set(_weighted_precisions(compiled))
        if self._checked and computed and computed.isdisjoint(_COMPUTED[self._precision]):
            raise ModelError(f"OpenVINO computes this model in {', '.join(computed)} where {self._precision} was asked")
        self._compiled[shapes] = compiled


def _tensor(array: Array, kind: ov.Type) -> ov.Tensor:
    array = np.asarray(array, order="C")
    if kind == ov.Type.bf16:  # which NumPy hasn't: these are its bits
        return ov.Tensor(array, list(array.shape), kind)
    return ov.Tensor(array, shared_memory=True)


def _weighted_precisions(compiled: ov.CompiledModel) -> list[str]:
    """What convolutions and linear layers really compute in, from the graph that was compiled."""
    told = [op.get_rt_info() for op in compiled.get_runtime_model().get_ops()]
    return [str(op["runtimePrecision"].value) for op in told if op["layerType"].value in _WEIGHTED]


def _reason(error: RuntimeError) -> str:
    """The last line of OpenVINO's report says what is wrong, those above where in its code."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
