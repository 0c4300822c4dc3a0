"""TensorRT 10 and 11, and TensorRT-RTX: one API under two module names.

An engine fits one GPU architecture and one version of TensorRT, and is native code: load only what you trust.
Precision lies in the graph, as TensorRT 11 wants it: the network is strongly typed, so nothing is computed in another
precision than was asked.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import partial
from typing import Any

from hwnas.errors import ModelError, RuntimeMissingError
from hwnas.graph.kernel import Launch
from hwnas.onnx.numbered import numbered
from hwnas.onnx.optimize.tidy import fold_constants
from hwnas.onnx.precision.half import to_half
from hwnas.onnx.precision.int8 import TENSORRT, quantize, random_feeds
from hwnas.onnx.read import parsed
from hwnas.progress import Progress
from hwnas.records.target import Batch
from hwnas.runtimes.base import check_precision, missing, options_in_force
from hwnas.runtimes.cuda import gpu_here
from hwnas.runtimes.tensorrt_build import Built, Shapes, layers_of, logger, monitor_of, parse_error
from hwnas.runtimes.tensorrt_cache import PLACES, Cache, cache_path
from hwnas.runtimes.tensorrt_kernels import kernels_of
from hwnas.runtimes.tensorrt_session import TensorRtSession

_HERE = "here"
_ALL = "all"
_BATCH = Batch(min=1, opt=1, max=64)
_WORKSPACES_MIB = tuple(str(1 << power) for power in range(4, 18))  # 16 MiB to 128 GiB


class TensorRt:
    """See :class:`hwnas.runtimes.base.Runtime`.

    Options: ``level``, the builder's optimisation level (0 to 5); ``workspace_mib``, scratch memory of a layer, a power
    of two from 16, or ``all`` that the GPU has; ``cache``, where timings of tactics (tensorrt) or compiled kernels
    (tensorrt-rtx) are kept for the next build or load: ``memory``, or ``disk`` for the user's cache folder.
    For tensorrt-rtx ``capability``, the compute capability of the GPU to build for, such as 86; ``here``, the default,
    is that of the GPU in this machine. TensorRT itself builds for the GPU in this machine only.

    Raises:
        ConfigError: an unknown option or value.
        RuntimeMissingError: not installed.
    """

    precisions: tuple[str, ...] = ("fp32", "fp16", "int8")
    runs_as_is = False

    def __init__(self, name: str, options: Mapping[str, str] | None = None) -> None:
        self.name = name
        try:
            self._trt: Any = importlib.import_module(name.replace("-", "_"))
        except Exception as error:  # a broken install raises whatever its libraries lead it to
            raise missing(name, f"pip install 'hwnas[{name}]'", error) from None
        self._any_gpu = name == "tensorrt-rtx"
        known: dict[str, tuple[str, ...]] = {}
        if self._any_gpu:
            members = dir(self._trt.ComputeCapability)
            self._capabilities = sorted((c[2:] for c in members if c.startswith("SM")), key=int)
            known["capability"] = (_HERE, *self._capabilities)
        known |= {"level": ("3", *"01245"), "workspace_mib": (_ALL, *_WORKSPACES_MIB), "cache": PLACES}
        self.options = options_in_force(name, known, options)
        gpu = gpu_here() if self.options["cache"] == "disk" else None
        kept = Cache(cache_path(name, self.version(), *gpu) if gpu else None)
        # TensorRT-RTX times nothing when it builds, and compiles when it loads
        self._timings = None if self._any_gpu else kept
        self._kernels = kept if self._any_gpu else None

    def version(self) -> str:
        return str(self._trt.__version__)

    def accelerator(self) -> str | None:
        gpu = gpu_here()
        return gpu[0] if gpu else None

    def prepare(self, model: bytes, precision: str) -> bytes:
        """The engine, for batches up to 64 and fastest at 1.

        int8 keeps fp32 for what isn't quantized.
        """
        check_precision(self, precision)
        self.capability()  # told before the work, not after it
        if precision == "int8":
            model = quantize(model, random_feeds(model), TENSORRT)
        elif precision == "fp16":
            model = to_half(model)
        return self.build(model).engine

    def kernels(self, model: bytes, precision: str) -> tuple[Launch, ...]:
        """The layers of the parsed network, each with what quantizes around it: what a build begins with.

        A build fuses them further. Only the engine tells how, and an engine can't be read without its GPU.
        """
        check_precision(self, precision)
        proto = parsed(model)
        if folded := fold_constants(proto):
            proto = folded.model
        _, network = self._parse(numbered(proto).SerializeToString())
        return kernels_of(proto, network)

    def capability(self) -> str:
        """Compute capability of the GPU that engines are built for, such as 86.

        Raises:
            ModelError: of the GPU here, and there is none, or this runtime doesn't know it.
        """
        asked = self.options.get("capability", _HERE)
        if asked != _HERE:
            return asked
        gpu = gpu_here()
        if gpu is None:
            way = ", or set its option capability, such as 86" if self._any_gpu else ""
            raise ModelError(f"runtime {self.name} builds for a GPU and there is none here; build where it is{way}")
        if self._any_gpu and gpu[1] not in self._capabilities:
            can = ", ".join(self._capabilities)
            raise ModelError(f"{self.name} builds for compute capabilities {can}, not for {gpu[0]}, which has {gpu[1]}")
        return gpu[1]

    def build(self, graph: bytes, batch: Batch = _BATCH, progress: Progress | None = None) -> Built:
        """The engine of an ONNX graph with a dynamic batch, in the precision that the graph has.

        ``progress`` is called with (what, done, total, phase).

        Raises:
            ModelError: TensorRT can't read the graph (the message names the node), refuses a setting, or can't build.
        """
        trt, capability = self._trt, self.capability()
        builder, network = self._parse(graph)
        log = builder.logger
        config = self._config(builder, capability)
        shapes = dict(_shapes(network.get_input(index), batch) for index in range(network.num_inputs))
        profile = builder.create_optimization_profile()
        for name, each in shapes.items():
            profile.set_shape(name, each.min, each.opt, each.max)
        if config.add_optimization_profile(profile) < 0 or log.errors:  # it logs what it refuses, and goes on
            raise ModelError(f"{self.name} refuses the settings of the build: {log.last()}")
        config.progress_monitor = monitor = monitor_of(trt, progress)
        engine = builder.build_serialized_network(network, config)
        if monitor.error is not None:
            raise monitor.error
        if engine is None:
            target = f" for compute capability {capability}" if self._any_gpu else ""
            raise ModelError(f"{self.name} can't build the model{target}: {log.last()}")
        if self._timings is not None:
            self._timings.keep(bytes(config.get_timing_cache().serialize()))
        return Built(engine=bytes(engine), profile=shapes, layers=layers_of(network))

    def _parse(self, graph: bytes) -> tuple[Any, Any]:
        """A builder, and its network of an ONNX graph."""
        trt = self._trt
        parsed(graph)  # before TensorRT's parser, which would open any file that a weight names
        log = logger(trt)
        log.errors.clear()
        builder = trt.Builder(log)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, log)
        if not parser.parse(graph):
            raise ModelError(f"{self.name} can't read the model: {parse_error(parser) or log.last()}")
        return builder, network

    def _config(self, builder: Any, capability: str) -> Any:
        trt, config = self._trt, builder.create_builder_config()
        if self._timings is not None:
            kept = config.create_timing_cache(self._timings.read()) or config.create_timing_cache(b"")
            config.set_timing_cache(kept, ignore_mismatch=False)
        builder.logger.errors.clear()  # timings that can't be used are no reason not to build; settings below are
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # so that the engine tells its precisions
        config.clear_flag(trt.BuilderFlag.TF32)  # which is on by default, and isn't fp32
        config.builder_optimization_level = int(self.options["level"])
        if self.options["workspace_mib"] != _ALL:
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(self.options["workspace_mib"]) << 20)
        if self._any_gpu:
            config.num_compute_capabilities = 1
            config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{capability}"), 0)
        return config

    def load(self, model: bytes, *, threads: int, precision: str, as_is: bool = False) -> TensorRtSession:
        check_precision(self, precision)
        if gpu_here() is None:
            raise RuntimeMissingError(f"runtime {self.name} runs on an NVIDIA GPU and there is none here")
        return TensorRtSession(self._trt, model, self.name, self._kernels)


def _shapes(entry: Any, batch: Batch) -> tuple[str, Shapes]:
    """An input's name and shapes; the one size that it may leave open is the batch."""
    least, best, most = (
        tuple(images if side < 0 else side for side in entry.shape) for images in (batch.min, batch.opt, batch.max)
    )
    return entry.name, Shapes(min=least, opt=best, max=most)


tensorrt = partial(TensorRt, "tensorrt")
tensorrt_rtx = partial(TensorRt, "tensorrt-rtx")
