"""ONNX graph -> TensorRT engine, by the API that TensorRT 10, 11 and TensorRT-RTX share.

The network is strongly typed: every layer computes in the types that the graph gives it, and nothing in others. So the
parsed network tells the precision of each layer, on machines without a GPU as well, where no engine can be loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, NamedTuple

from hwnas.errors import ModelError, first_line
from hwnas.onnx.read import parsed
from hwnas.progress import Progress
from hwnas.runtimes.tensorrt_cache import Cache
from hwnas.runtimes.tensorrt_log import logger

_PRECISIONS = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "INT8": "int8"}
WEIGHTED = ("convolution", "matrix_multiply")
"""Types of layers that a network's precision is told by."""
_NO_WORK = ("constant", "quantize", "dequantize")


class BatchProfile(NamedTuple):
    """Images of one inference: any number from ``min`` to ``max``, fastest at ``opt``."""

    min: int = 1
    opt: int = 1
    max: int = 64


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One that computes on images, as it was built.

    Attributes:
        name: of the graph's node that it came from.
        type: as TensorRT calls it, such as convolution.
        precision: fp32, fp16, bf16 or int8.
    """

    name: str
    type: str
    precision: str


@dataclass(frozen=True, kw_only=True)
class Built:
    """An engine and what is in it.

    Attributes:
        engine: native code; load it only if you know where it is from.
        profile: {input: {min, opt, max: shape}}.
        layers: in the network's order, without constants and conversions.
    """

    engine: bytes
    profile: dict[str, dict[str, tuple[int, ...]]]
    layers: tuple[Layer, ...]


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """How to build.

    Attributes:
        level: builder optimisation level, 0 (fastest build) to 5 (fastest engine).
        workspace_mib: scratch memory that a layer may take; None for all that the GPU has.
        capability: compute capability to build for, such as 86; None for the GPU here.
        timings: tactic timings of earlier builds; None where the builder times nothing.
    """

    level: int
    workspace_mib: int | None
    capability: str | None
    timings: Cache | None


def build(
    trt: Any, name: str, graph: bytes, batch: BatchProfile, settings: BuildSettings, progress: Progress | None = None
) -> Built:
    """The engine of a graph, in the precision that the graph has.

    Args:
        trt: the module.
        name: of the runtime, for messages.
        graph: serialized ONNX, one image input with a dynamic first dimension.
        batch: that the engine takes.
        settings: how to build.
        progress: called with (what, done, total, phase).

    Raises:
        ModelError: TensorRT can't read the graph (the message names the node), refuses a setting, or can't build.
    """
    parsed(graph)  # before TensorRT's parser, which would open any file that a weight names
    log = logger(trt)
    log.errors.clear()
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(graph):
        raise ModelError(f"{name} can't read the model: {_parse_error(parser) or log.last()}")
    config = _config(trt, builder, settings)
    entry = network.get_input(0)
    shapes = {key: (images, *tuple(entry.shape)[1:]) for key, images in batch._asdict().items()}
    profile = builder.create_optimization_profile()
    profile.set_shape(entry.name, *shapes.values())
    if config.add_optimization_profile(profile) < 0 or log.errors:  # it logs what it refuses, and goes on
        raise ModelError(f"{name} refuses the settings of the build: {log.last()}")
    monitor = _monitor(trt, progress)
    config.progress_monitor = monitor
    engine = builder.build_serialized_network(network, config)
    if monitor.error is not None:
        raise monitor.error
    if engine is None:
        target = f" for compute capability {settings.capability}" if settings.capability else ""
        raise ModelError(f"{name} can't build the model{target}: {log.last()}")
    if settings.timings is not None:
        settings.timings.keep(bytes(config.get_timing_cache().serialize()))
    return Built(engine=bytes(engine), profile={entry.name: shapes}, layers=_layers(network))


def _config(trt: Any, builder: Any, settings: BuildSettings) -> Any:
    config = builder.create_builder_config()
    if settings.timings is not None:
        kept = config.create_timing_cache(settings.timings.read()) or config.create_timing_cache(b"")
        config.set_timing_cache(kept, ignore_mismatch=False)
    builder.logger.errors.clear()  # timings that can't be used are no reason not to build; settings below are
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # so that the engine tells its precisions
    config.clear_flag(trt.BuilderFlag.TF32)  # which is on by default, and isn't fp32
    config.builder_optimization_level = settings.level
    if settings.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mib << 20)
    if settings.capability is not None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{settings.capability}"), 0)
    return config


def _parse_error(parser: Any) -> str:
    if not parser.num_errors:
        return ""
    error = parser.get_error(0)
    node = f"node {error.node_name() or error.node()} ({error.node_operator()}): " if error.node() >= 0 else ""
    return node + first_line(Exception(error.desc()))


def _layers(network: Any) -> tuple[Layer, ...]:
    every = [network.get_layer(index) for index in range(network.num_layers)]
    from_int8 = {layer.get_output(0).name for layer in every if _type(layer) == "dequantize"}
    found = []
    for layer in every:
        precision = _PRECISIONS.get(layer.get_output(0).dtype.name)
        if precision is None or _type(layer) in _NO_WORK:  # no precision: the arithmetic of shapes
            continue
        if _type(layer) in WEIGHTED and layer.num_inputs > 1:
            taken = {layer.get_input(index).name for index in range(2)}
            # between conversions to float and back, TensorRT computes in int8
            precision = "int8" if taken <= from_int8 else precision
        found.append(Layer(name=layer.name, type=_type(layer), precision=precision))
    return tuple(found)


def _type(layer: Any) -> str:
    return str(layer.type.name.lower())


def _monitor(trt: Any, progress: Progress | None) -> Any:
    """Passes TensorRT's phases on. An error of ``progress``, or Ctrl-C, ends the build and is kept in ``error``."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.error: BaseException | None = None
            self._lock = Lock()  # TensorRT calls from several threads
            self._steps: dict[str, int] = {}
            self._outer, self._done = "", 0

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self._guarded(lambda: self._start(phase, parent, steps))

        def step_complete(self, phase: str, step: int) -> bool:
            self._guarded(lambda: self._step(phase, step))
            return self.error is None

        def phase_finish(self, phase: str) -> None:
            self._guarded(lambda: self._finish(phase))

        def _start(self, phase: str, parent: str | None, steps: int) -> None:
            self._steps[phase] = steps
            if parent is None:
                self._outer, self._done = phase, 0

        def _step(self, phase: str, step: int) -> None:
            if phase == self._outer:
                self._done = step + 1
            self._tell(f"{phase.lower()} {step + 1}/{self._steps[phase]}")

        def _finish(self, phase: str) -> None:
            if phase == self._outer and self.error is None:  # its last step isn't told
                self._done = self._steps[phase]
                self._tell("done")

        def _tell(self, note: str) -> None:
            if progress:
                progress("building", self._done, self._steps[self._outer], note)

        def _guarded(self, call: Callable[[], None]) -> None:
            try:
                with self._lock:
                    call()
            except BaseException as error:  # through TensorRT's frames it would end the process
                self.error = error

    return Monitor()
