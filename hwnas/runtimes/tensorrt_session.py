"""A loaded TensorRT engine. Memory, streams and events are PyTorch's, so a CUDA build of it is needed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from hwnas.arrays import Images
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

    def run(self, images: Images) -> Images:
        inference = _Inference(self._trt, self._engine, images, self._kernels)
        inference()
        torch.cuda.synchronize()
        inference.keep_kernels()
        return np.asarray(inference.result.cpu().numpy())

    def bind(self, images: Images) -> Callable[[], float]:
        inference = _Inference(self._trt, self._engine, images, self._kernels)
        graph = CudaGraph(inference)
        inference.keep_kernels()
        return timed_by_events(graph)


class _Inference:
    """A call that starts one inference on PyTorch's current stream; it owns the memory that takes part."""

    def __init__(self, trt: Any, engine: Any, images: Images, kernels: Cache | None) -> None:
        entry, result = (engine.get_tensor_name(i) for i in range(2))
        least, _, most = engine.get_tensor_profile_shape(entry, 0)
        check_images(images, trt.nptype(engine.get_tensor_dtype(entry)), tuple(least), tuple(most))
        self._stream = torch.cuda.current_stream
        self._log = logger(trt)
        self._kernels = kernels
        self._context, self._compiled = _context(trt, engine, kernels)
        self._images = torch.from_numpy(np.ascontiguousarray(images)).cuda()
        self._context.set_input_shape(entry, tuple(images.shape))
        self.result = torch.empty(tuple(self._context.get_tensor_shape(result)), device="cuda")
        self._context.set_tensor_address(entry, self._images.data_ptr())
        self._context.set_tensor_address(result, self.result.data_ptr())

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


def check_images(images: Images, dtype: Any, least: Sequence[int], most: Sequence[int]) -> None:
    """Before TensorRT reads the memory; ``least`` and ``most`` are the ends of the engine's profile.

    Raises:
        ModelError: of another type, or a shape outside the profile.
    """
    shape = images.shape
    fits = len(shape) == len(least) and all(a <= s <= b for a, s, b in zip(least, shape, most, strict=True))
    if not fits or images.dtype != dtype:
        takes = ", ".join(f"{a} to {b}" if a < b else str(a) for a, b in zip(least, most, strict=True))
        raise ModelError(
            f"the engine takes {np.dtype(dtype).name} ({takes}), not {images.dtype} {shape}; "
            "another batch needs an engine whose target has it"
        )


def weight_precisions(information: str) -> dict[str, int]:
    """{precision: layers with weights} of an engine inspector's JSON; these fields of it are the same in 10 and 11."""
    layers = [layer for layer in json.loads(information).get("Layers", []) if isinstance(layer, dict)]
    kinds = [layer["Weights"]["Type"].lower() for layer in layers if "Weights" in layer]
    return dict(Counter(_PRECISIONS.get(kind, kind) for kind in kinds))
