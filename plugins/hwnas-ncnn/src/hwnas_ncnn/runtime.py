"""ncnn on the CPU: small, without dependencies, made for phones and boards."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from hwnas.arrays import Array
from hwnas.errors import ModelError
from hwnas.graph.kernel import Launch
from hwnas.runtimes.base import check_precision, missing, options_in_force
from hwnas_ncnn.convert import to_ncnn
from hwnas_ncnn.param import WEIGHTED, Param, check_weights, read_param

try:
    import ncnn
except Exception as error:
    raise missing("ncnn", "pip install ncnn", error) from None

_BITS = {16: "bf16", 32: "fp32"}


class Ncnn:
    """See :class:`hwnas.runtimes.base.Runtime`. Without options.

    A prepared model is the text of the ``.param``, a zero byte, and the ``.bin``.

    Raises:
        ConfigError: an option is given.
    """

    name = "ncnn"
    precisions: tuple[str, ...] = ("fp32", "bf16")
    runs_as_is = False

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        self.options = options_in_force(self.name, {}, options)

    def version(self) -> str:
        return str(ncnn.__version__)

    def accelerator(self) -> str | None:
        return None

    def prepare(self, model: bytes, precision: str) -> bytes:
        check_precision(self, precision)
        return b"\0".join(to_ncnn(model))

    def kernels(self, model: bytes, precision: str) -> tuple[Launch, ...]:
        check_precision(self, precision)
        raise ModelError("ncnn doesn't tell which kernels it launches; use a runtime that does, such as onnxruntime")

    def load(self, model: bytes, *, threads: int, precision: str, as_is: bool = False) -> NcnnSession:
        text, _, weights = model.partition(b"\0")
        return self.load_files(text, weights, threads=threads, precision=precision)

    def load_files(self, text: bytes, weights: bytes, *, threads: int, precision: str) -> NcnnSession:
        """A session of a ``.param`` and a ``.bin``; errors as those of :meth:`load`."""
        check_precision(self, precision)
        param = read_param(text)
        check_weights(param, weights)
        net = ncnn.Net()
        net.opt.num_threads = threads
        net.opt.use_fp16_storage = net.opt.use_fp16_packed = net.opt.use_fp16_arithmetic = False
        net.opt.use_bf16_storage = net.opt.use_bf16_packed = precision == "bf16"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.bin"  # from memory, it would go on reading where the bytes of Python were
            path.write_bytes(weights)
            if net.load_param_mem(text.decode("ascii")) or net.load_model(str(path)):
                raise ModelError("ncnn can't load the model")
        session = NcnnSession(net, param)
        if param.structure.layers and precision not in (computed := session.precisions()):
            raise ModelError(f"ncnn computes this model in {', '.join(computed)} where {precision} was asked")
        return session


class NcnnSession:
    """See :class:`hwnas.runtimes.base.Session`. ncnn takes one image at a time, so a batch is a loop."""

    def __init__(self, net: ncnn.Net, param: Param) -> None:
        self._net = net
        self._param = param

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        return (np.stack([np.array(self._inferred(image)) for image in self._taken(inputs)]),)

    def bind(self, inputs: Sequence[Array]) -> Callable[[], None]:
        taken = self._taken(inputs)

        def call(kept: Sequence[Array] = inputs) -> None:  # the tensors' memory is numpy's
            for image in taken:
                self._inferred(image)

        return call

    def precisions(self) -> dict[str, int]:
        """{precision: layers with weights whose result has it}, seen in an inference."""
        extractor = self._net.create_extractor()
        extractor.set_light_mode(False)  # keep the tensors
        image = np.zeros(self._param.input_chw, np.float32)
        extractor.input(self._param.entry, ncnn.Mat(image))
        results = [layer.output for layer in self._param.layers if layer.kind in WEIGHTED]
        as_computed = 1
        bits = [extractor.extract(name, as_computed)[1].elembits() for name in results]
        return dict(Counter(_BITS.get(count, f"{count} bits") for count in bits))

    def _taken(self, inputs: Sequence[Array]) -> list[ncnn.Mat]:
        (images,) = inputs
        if images.shape[1:] != self._param.input_chw:
            raise ModelError(f"the model takes images of {self._param.input_chw}, not {images.shape[1:]}")
        return [ncnn.Mat(image) for image in np.ascontiguousarray(images)]

    def _inferred(self, image: ncnn.Mat) -> ncnn.Mat:
        extractor = self._net.create_extractor()
        extractor.input(self._param.entry, image)
        status, result = extractor.extract(self._param.result)
        if status:
            raise ModelError(f"ncnn can't run the model: status {status}")
        return result
