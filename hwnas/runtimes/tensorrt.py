"""TensorRT 10 and 11, and TensorRT-RTX: one API under two module names.

An engine fits one GPU architecture and one version of TensorRT, and is native code: load only what you trust.
Precision lies in the graph, as TensorRT 11 wants it: the network is strongly typed, so nothing is computed in another
precision than was asked.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from hwnas.errors import ModelError, RuntimeMissingError
from hwnas.runtimes.base import Images, check_precision, first_line, missing, nvidia_gpu, options_in_force
from hwnas.runtimes.graph import input_chw, parsed
from hwnas.runtimes.half import to_half
from hwnas.runtimes.quantize import TENSORRT, quantize, random_images

_MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
_HERE = "here"
_MAX_BATCH = 64


class TensorRt:
    """See :class:`hwnas.runtimes.base.Runtime`.

    Options: for tensorrt-rtx ``capability``, the compute capability of the GPU to build for, such as 86; ``here``, the
    default, is that of the GPU in this machine. TensorRT itself builds for the GPU in this machine only.

    Raises:
        ConfigError: an unknown option or value.
        RuntimeMissingError: not installed.
    """

    precisions: tuple[str, ...] = ("fp32", "fp16", "int8")

    def __init__(self, name: str, options: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._trt = _import(name)
        known: dict[str, tuple[str, ...]] = {}
        if name == "tensorrt-rtx":
            members = dir(self._trt.ComputeCapability)
            self._capabilities = sorted((c[2:] for c in members if c.startswith("SM")), key=int)
            known["capability"] = (_HERE, *self._capabilities)
        self.options = options_in_force(name, known, options)

    def version(self) -> str:
        return str(self._trt.__version__)

    def accelerator(self) -> str | None:
        gpu = nvidia_gpu()
        return gpu[0] if gpu else None

    def prepare(self, model: bytes, precision: str) -> bytes:
        """The engine, for batches up to 64 and fastest at 1.

        int8 keeps fp32 for what isn't quantized.
        """
        check_precision(self, precision)
        self._capability()  # told before the work, not after it
        if precision == "int8":
            model = quantize(model, random_images(model), TENSORRT)
        elif precision == "fp16":
            model = to_half(model)
        return self.build(model)

    def _capability(self) -> str | None:
        """That to build for, None where TensorRT takes the GPU's by itself."""
        asked = self.options.get("capability")
        if asked not in (None, _HERE):
            return asked
        gpu = nvidia_gpu()
        if gpu is None:
            way = ", or set its option capability, such as 86" if asked else ""
            raise ModelError(f"runtime {self.name} builds for a GPU and there is none here; build where it is{way}")
        if not asked:
            return None
        if gpu[1] not in self._capabilities:
            can = ", ".join(self._capabilities)
            raise ModelError(f"{self.name} builds for compute capabilities {can}, not for {gpu[0]}, which has {gpu[1]}")
        return gpu[1]

    def build(self, model: bytes) -> bytes:
        """The engine of a graph, in the precision that the graph has."""
        capability = self._capability()
        trt, log = self._trt, _logger(self._trt)
        proto = parsed(model)
        entry, chw = proto.graph.input[0].name, input_chw(proto)
        log.errors.clear()
        builder = trt.Builder(log)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, log)
        if not parser.parse(model):
            raise ModelError(f"{self.name} can't read the model: {parser.get_error(0).desc()[:300]}")
        config = builder.create_builder_config()
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # so that the engine tells its precisions
        config.clear_flag(trt.BuilderFlag.TF32)  # which is on by default, and isn't fp32
        profile = builder.create_optimization_profile()
        profile.set_shape(entry, (1, *chw), (1, *chw), (_MAX_BATCH, *chw))
        config.add_optimization_profile(profile)
        if capability is not None:
            config.num_compute_capabilities = 1
            config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{capability}"), 0)
        engine = builder.build_serialized_network(network, config)
        if engine is None:
            raise ModelError(f"{self.name} can't build the model{_for(capability)}: {log.last()}")
        return bytes(engine)

    def load(self, model: bytes, *, threads: int, precision: str) -> TensorRtSession:
        check_precision(self, precision)
        if nvidia_gpu() is None:
            raise RuntimeMissingError(f"runtime {self.name} runs on an NVIDIA GPU and there is none here")
        return TensorRtSession(self._trt, model, self.name)


class TensorRtSession:
    """See :class:`hwnas.runtimes.base.Session`. Memory, streams and events are PyTorch's, so a CUDA build is needed."""

    def __init__(self, trt: Any, engine: bytes, name: str) -> None:
        import torch

        if not torch.cuda.is_available():
            raise RuntimeMissingError(
                f"runtime {name} needs a CUDA build of PyTorch beside it, not {torch.__version__}"
            )
        log = _logger(trt)
        log.errors.clear()
        self._runtime = trt.Runtime(log)
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        if self._engine is None:
            raise ModelError(
                f"{name} {trt.__version__} can't load the engine on this GPU: {log.last()}; "
                "an engine fits one GPU architecture and one version"
            )
        self._torch = torch
        self._trt = trt

    def layers(self) -> str:
        """What was built, layer by layer with its precision, as TensorRT's JSON."""
        inspector = self._engine.create_engine_inspector()
        return str(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))

    def run(self, images: Images) -> Images:
        inference = _Inference(self._trt, self._engine, images)
        inference()
        self._torch.cuda.synchronize()
        return np.asarray(inference.result.cpu().numpy())

    def bind(self, images: Images) -> Callable[[], float]:
        from hwnas.runtimes.cuda import CudaGraph, timed_by_events

        return timed_by_events(CudaGraph(_Inference(self._trt, self._engine, images)))


class _Inference:
    """A call that starts one inference on PyTorch's current stream; it owns the memory that takes part."""

    def __init__(self, trt: Any, engine: Any, images: Images) -> None:
        import torch

        entry, result = (engine.get_tensor_name(i) for i in range(2))
        self._stream = torch.cuda.current_stream
        self._log = _logger(trt)
        self._context = engine.create_execution_context()
        self._images = torch.from_numpy(np.ascontiguousarray(images)).cuda()
        self._context.set_input_shape(entry, tuple(images.shape))
        self.result = torch.empty(tuple(self._context.get_tensor_shape(result)), device="cuda")
        self._context.set_tensor_address(entry, self._images.data_ptr())
        self._context.set_tensor_address(result, self.result.data_ptr())

    def __call__(self) -> None:
        if not self._context.execute_async_v3(self._stream().cuda_stream):
            raise ModelError(f"TensorRT can't run the engine: {self._log.last()}")


def _import(name: str) -> Any:
    try:
        return importlib.import_module(_MODULES[name])
    except Exception as error:  # a broken install raises whatever its libraries lead it to
        raise missing(name, f"pip install 'hwnas[{name}]'", error) from None


def _for(capability: str | None) -> str:
    return f" for compute capability {capability}" if capability else ""


@cache
def _logger(trt: Any) -> Any:
    """The one of the process, as TensorRT keeps the first it is given; it remembers errors and prints nothing."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.ERROR:
                self.errors.append(message)

        def last(self) -> str:
            return first_line(Exception(self.errors[-1])) if self.errors else "no reason given"

    return Log()
