"""A loaded TensorRT engine. Memory, streams and events are PyTorch's, so a CUDA build of it is needed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from hwnas.arrays import Array
from hwnas.errors import ModelError, RuntimeMissingError
from hwnas.runtimes.cuda import CudaGraph, timed_by_events
from hwnas.runtimes.tensorrt_build import logger
from hwnas.runtimes.tensorrt_cache import Cache

_PRECISIONS = {"float": "fp32", "half": "fp16", "bfloat16": "bf16", "int8": "int8"}


class TensorRtSession:
    """See :class:`hwnas.runtimes.base.Session`.

    ``kernels`` were compiled by earlier loads, which TensorRT-RTX does when a shape is first seen; None elsewhere.

    Raises:
        RuntimeMissingError: PyTorch has no CUDA.
        ModelError: TensorRT can't load the engine on this GPU.
    """

    def __init__(self, trt: Any, engine: bytes, name: str, kernels: Cache | None = None) -> None:
        if not torch.cuda.is_available():
            raise RuntimeMissingError(
                f"runtime {name} needs a CUDA build of PyTorch beside it, not {torch.__version__}"
            )
        torch.cuda.init()  # type: ignore[no-untyped-call]  # TensorRT-RTX checks its cache against a context
        log = logger(trt)
        log.errors.clear()
        self._runtime = trt.Runtime(log)
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        if self._engine is None:
            raise ModelError(
                f"{name} {trt.__version__} can't load the engine on this GPU: {log.last()}; "
                "an engine fits one GPU architecture and one version"
            )
        self._trt = trt
        self._kernels = kernels

    def precisions(self) -> dict[str, int]:
        """{precision: layers with weights}, as far as the engine tells; layers that were compiled together don't."""
        inspector = self._engine.create_engine_inspector()
        return weight_precisions(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        inference = _Inference(self._trt, self._engine, inputs, self._kernels)
        inference()
        torch.cuda.synchronize()
        inference.keep_kernels()
        return tuple(np.asarray(result.cpu().numpy()) for result in inference.results)

    def bind(self, inputs: Sequence[Array]) -> Callable[[], float]:
        inference = _Inference(self._trt, self._engine, inputs, self._kernels)
        graph = CudaGraph(inference)
        inference.keep_kernels()
        return timed_by_events(graph)


class _Inference:
    """A call that starts one inference on PyTorch's current stream; it owns the memory that takes part."""

    def __init__(self, trt: Any, engine: Any, inputs: Sequence[Array], kernels: Cache | None) -> None:
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        entries = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        for name, given in zip(entries, inputs, strict=True):
            least, _, most = engine.get_tensor_profile_shape(name, 0)
            check_input(name, given, trt.nptype(engine.get_tensor_dtype(name)), tuple(least), tuple(most))
        self._stream = torch.cuda.current_stream
        self._log = logger(trt)
        self._kernels = kernels
        self._context, self._compiled = _context(trt, engine, kernels)
        self._inputs = [torch.from_numpy(np.asarray(given, order="C")).cuda() for given in inputs]
        for name, entry in zip(entries, self._inputs, strict=True):
            self._context.set_input_shape(name, tuple(entry.shape))
            self._context.set_tensor_address(name, entry.data_ptr())
        self.results: list[torch.Tensor] = []
        for name in (name for name in names if name not in entries):
            shape = tuple(self._context.get_tensor_shape(name))
            if min(shape, default=0) < 0:
                raise ModelError(f"the size of the engine's output {name} depends on the data; hwnas runs fixed sizes")
            empty = np.empty(shape, trt.nptype(engine.get_tensor_dtype(name)))
            self.results.append(torch.from_numpy(empty).cuda())
            self._context.set_tensor_address(name, self.results[-1].data_ptr())

    def __call__(self) -> None:
        if not self._context.execute_async_v3(self._stream().cuda_stream):
            raise ModelError(f"TensorRT can't run the engine: {self._log.last()}")

    def keep_kernels(self) -> None:
        if self._kernels is not None:
            self._kernels.keep(bytes(self._compiled.serialize()))


def _context(trt: Any, engine: Any, kernels: Cache | None) -> tuple[Any, Any]:
    """An execution context, and TensorRT-RTX's cache of compiled kernels."""
    if kernels is None:
        return engine.create_execution_context(), None
    config = engine.create_runtime_config()
    # lazily, it would begin with slower kernels and compile in the background: nothing to time or to record
    config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
    compiled = config.create_runtime_cache()
    compiled.deserialize(kernels.read())  # refused, and compiled anew, where it is of another GPU or version
    config.set_runtime_cache(compiled)
    return engine.create_execution_context(config), compiled


def check_input(name: str, given: Array, dtype: Any, least: Sequence[int], most: Sequence[int]) -> None:
    """Before TensorRT reads the memory; ``least`` and ``most`` are the ends of the engine's profile.

    Raises:
        ModelError: of another type, or a shape outside the profile.
    """
    shape = given.shape
    fits = len(shape) == len(least) and all(a <= s <= b for a, s, b in zip(least, shape, most, strict=True))
    if not fits or given.dtype != dtype:
        takes = ", ".join(f"{a} to {b}" if a < b else str(a) for a, b in zip(least, most, strict=True))
        raise ModelError(
            f"the engine takes {np.dtype(dtype).name} ({takes}) as {name}, not {given.dtype} {shape}; "
            "another batch needs an engine whose target has it"
        )


def weight_precisions(information: str) -> dict[str, int]:
    """{precision: layers with weights} of an engine inspector's JSON; these fields of it are the same in 10 and 11."""
    layers = [layer for layer in json.loads(information).get("Layers", []) if isinstance(layer, dict)]
    kinds = [layer["Weights"]["Type"].lower() for layer in layers if "Weights" in layer]
    return dict(Counter(_PRECISIONS.get(kind, kind) for kind in kinds))
