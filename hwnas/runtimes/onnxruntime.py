"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from hwnas.errors import ModelError
from hwnas.runtimes.base import Images


class OnnxRuntime:
    """The CPU execution provider with all graph optimisations."""

    name = "onnxruntime"
    precisions: tuple[str, ...] = ("fp32",)

    def version(self) -> str:
        return str(ort.__version__)

    def load(self, model: bytes, *, threads: int, precision: str) -> OnnxRuntimeSession:
        if precision not in self.precisions:
            raise ModelError(f"runtime {self.name} runs {', '.join(self.precisions)}, not {precision!r}")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # many sessions take turns when a table is measured: idle threads of one mustn't spin beside another
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            return OnnxRuntimeSession(ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]))
        except Exception as error:  # its exception classes share no public base
            raise ModelError(f"ONNX Runtime can't load the model: {str(error).splitlines()[0]}") from None


class OnnxRuntimeSession:
    """See :class:`hwnas.runtimes.base.Session`."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[0].name

    def run(self, images: Images) -> npt.NDArray[np.float32]:
        outputs = self._session.run([self._output], {self._input: images})
        return np.asarray(outputs[0])

    def bind(self, images: Images) -> Callable[[], object]:
        # bound buffers: no allocation or copy of input and output is timed, at least of ours
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(self._input, ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(images)))
        shape = self.run(images).shape
        output = ort.OrtValue.ortvalue_from_shape_and_type(list(shape), np.float32)
        binding.bind_ortvalue_output(self._output, output)
        return lambda: self._session.run_with_iobinding(binding)
