"""ONNX Runtime: on the CPU, and by its execution providers for CUDA, TensorRT and OpenVINO where they are installed."""

from __future__ import annotations

import os
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from hwnas.errors import ModelError, RuntimeMissingError, first_line
from hwnas.onnx.wire import check_self_contained
from hwnas.runtimes.base import check_precision, missing, nvidia_gpu, options_in_force

try:
    import onnxruntime as ort
except Exception as error:
    raise missing("onnxruntime", "pip install onnxruntime", error) from None

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hwnas.arrays import Array
    from hwnas.graph.kernel import Launch
    from hwnas.onnx.observe import Feed, Observation

_PROVIDERS = {  # option: (ONNX Runtime's name, package that has it)
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu"),
    "openvino": ("OpenVINOExecutionProvider", "onnxruntime-openvino"),
}
_ON_GPU = ("cuda", "tensorrt")
_LEVELS = {
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "disable": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}


class OnnxRuntime:
    """See :class:`hwnas.runtimes.base.Runtime`.

    Options: ``provider`` (cpu, cuda, tensorrt, openvino), ``optimization`` of the graph (all, extended, basic,
    disable).

    Raises:
        ConfigError: an unknown option or value.
        RuntimeMissingError: this build of ONNX Runtime doesn't have the provider.
    """

    name = "onnxruntime"

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        known = {"provider": tuple(_PROVIDERS), "optimization": tuple(_LEVELS)}
        self.options = options_in_force(self.name, known, options)
        self._provider, package = _PROVIDERS[self.options["provider"]]
        self._on_gpu = self.options["provider"] in _ON_GPU
        self.runs_as_is = self.options["provider"] in ("cpu", "cuda")
        # on processors it takes fp16 too, and quietly computes in fp32
        self.precisions: tuple[str, ...] = ("fp32", "fp16", "int8") if self._on_gpu else ("fp32", "int8")
        if self._provider not in ort.get_available_providers():
            raise RuntimeMissingError(
                f"this ONNX Runtime has no {self._provider}; pip uninstall onnxruntime, then pip install {package}"
            )

    def version(self) -> str:
        return str(ort.__version__)

    def accelerator(self) -> str | None:
        gpu = nvidia_gpu() if self._on_gpu else None
        return gpu[0] if gpu else None

    def prepare(self, model: bytes, precision: str) -> bytes:
        check_precision(self, precision)
        if precision == "fp32":
            return model
        if precision == "fp16":
            from hwnas.onnx.precision.half import to_half

            return to_half(model)
        from hwnas.onnx.precision.int8 import OF_PROVIDER, quantize, random_feeds

        return quantize(model, random_feeds(model), OF_PROVIDER[self.options["provider"]])

    def kernels(self, model: bytes, precision: str) -> tuple[Launch, ...]:
        """The nodes of the graph that ONNX Runtime makes of a model of fixed shapes."""
        import onnx

        from hwnas.onnx.kernels import Part, launches, values_of

        check_precision(self, precision)
        check_self_contained(model)
        with TemporaryDirectory() as folder:
            options = self._session_options(1, self.options["optimization"])
            options.optimized_model_filepath = os.path.join(folder, "optimized.onnx")
            self._session(model, options)
            proto = onnx.load(options.optimized_model_filepath)
        parts = [Part(node.name or node.output[0], [node]) for node in proto.graph.node]
        return launches(proto, parts, values_of(proto))

    def observe(self, model: bytes, feeds: Sequence[Feed], *, precision: str) -> Observation:
        """See :class:`hwnas.runtimes.base.ShowsValues`: of the graph that ONNX Runtime makes of the model.

        Its blocked layouts, in which a value can't be told from its padding, are left out.
        """
        import onnx

        from hwnas.onnx.observe import observe

        check_self_contained(model)
        level = self.options["optimization"]
        with TemporaryDirectory() as folder:
            options = self._session_options(1, "extended" if level == "all" else level)
            options.optimized_model_filepath = os.path.join(folder, "optimized.onnx")
            self._session(model, options)
            return observe(onnx.load(options.optimized_model_filepath), feeds)

    def load(self, model: bytes, *, threads: int, precision: str, as_is: bool = False) -> OnnxRuntimeSession:
        check_precision(self, precision)
        check_self_contained(model)
        optimization = "disable" if as_is else self.options["optimization"]
        session = self._session(model, self._session_options(threads, optimization))
        return OnnxRuntimeSession(session, "cuda" if self._on_gpu else "cpu")

    def _session_options(self, threads: int, optimization: str) -> ort.SessionOptions:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what fails is raised as well
        options.graph_optimization_level = _LEVELS[optimization]
        # many sessions take turns when a table is measured: idle threads of one mustn't spin beside another
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if self.options["provider"] != "cpu":  # else what the provider can't do would quietly run on the CPU
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        return options

    def _session(self, model: bytes, options: ort.SessionOptions) -> ort.InferenceSession:
        try:
            session = ort.InferenceSession(model, options, providers=[(self._provider, self._settings())])
        except Exception as error:  # its exception classes share no public base
            raise ModelError(f"ONNX Runtime can't load the model: {first_line(error)}") from None
        if session.get_providers()[0] != self._provider:
            raise RuntimeMissingError(
                f"ONNX Runtime can't start its {self._provider} here; see its log for what it lacks"
            )
        return session

    def _settings(self) -> Mapping[str, str]:
        """Of the provider. fp32 is to mean fp32: by default those on GPUs round to TF32."""
        if self.options["provider"] == "cuda":
            return {"use_tf32": "0"}
        if self.options["provider"] != "tensorrt":
            return {}
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # the only way that this provider leaves
        # without permission for lower precisions its networks are strongly typed: they compute as the graph says
        names = ("trt_fp16_enable", "trt_int8_enable", "trt_engine_cache_enable", "trt_timing_cache_enable")
        return dict.fromkeys(names, "False")


class OnnxRuntimeSession:
    """See :class:`hwnas.runtimes.base.Session`."""

    def __init__(self, session: ort.InferenceSession, device: str) -> None:
        self._session = session
        self._device = device
        self._inputs = [port.name for port in session.get_inputs()]
        self._outputs = [port.name for port in session.get_outputs()]

    @property
    def on_cpu(self) -> bool:
        """Whether ONNX Runtime's own CPU kernels run it, not another provider's."""
        return bool(self._session.get_providers()[0] == "CPUExecutionProvider")

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        return tuple(map(np.asarray, self._session.run(self._outputs, dict(zip(self._inputs, inputs)))))  # noqa: B905

    def bind(self, inputs: Sequence[Array]) -> Callable[[], None]:
        # bound buffers where the network runs: no allocation or copy of inputs and outputs is timed, at least of ours
        binding = self._session.io_binding()
        entries = [ort.OrtValue.ortvalue_from_numpy(np.asarray(x, order="C"), self._device, 0) for x in inputs]
        for name, entry in zip(self._inputs, entries):  # noqa: B905  (Python 3.8)
            binding.bind_ortvalue_input(name, entry)
        # an output whose shape depends on the data has, for the same data, the same shape again
        for name, given in zip(self._outputs, self.run(inputs)):  # noqa: B905  (Python 3.8)
            output = ort.OrtValue.ortvalue_from_shape_and_type(given.shape, given.dtype, self._device, 0)
            binding.bind_ortvalue_output(name, output)

        def call(kept: list[ort.OrtValue] = entries) -> None:  # memory of numpy's; ONNX Runtime 1.19's binding frees it
            self._session.run_with_iobinding(binding)  # which waits for the device

        return call
