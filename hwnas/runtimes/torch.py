"""PyTorch, eager or compiled, on the CPU or a CUDA GPU: runs the same ONNX file as the others do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from hwnas.arrays import Array, Port
from hwnas.errors import ModelError, RuntimeMissingError, first_line
from hwnas.graph.kernel import Launch
from hwnas.onnx.kernels import Part, launches, values_of
from hwnas.onnx.model import port_of
from hwnas.onnx.observe import Feed, Observation, observation, showing_all
from hwnas.onnx.read import entries_of, parsed
from hwnas.onnx.stand_in import stand_in
from hwnas.runtimes.base import check_precision, options_in_force
from hwnas.runtimes.cuda import CudaGraph, timed_by_events
from hwnas.runtimes.onnx_to_torch import onnx_to_torch

_IMAGES_NDIM = 4
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Torch:
    """See :class:`hwnas.runtimes.base.Runtime`.

    Options: ``mode`` (eager, compiled), ``device`` (cpu, cuda) and, on cuda, ``graph``: whether the kernels are
    launched as one CUDA graph (yes, no).

    Raises:
        ConfigError: an unknown option or value.
        RuntimeMissingError: ``device=cuda`` where PyTorch sees no GPU.
    """

    name = "torch"

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        known = {"mode": ("eager", "compiled"), "device": ("cpu", "cuda")}
        if options and options.get("device") == "cuda":
            known["graph"] = ("yes", "no")
        self.options = options_in_force(self.name, known, options)
        self._device = torch.device(self.options["device"])
        self.precisions: tuple[str, ...] = ("fp32", "bf16") if self._device.type == "cpu" else tuple(_DTYPES)
        self.runs_as_is = self.options["mode"] == "eager"
        if self._device.type == "cuda" and not torch.cuda.is_available():
            raise RuntimeMissingError(
                f"PyTorch {torch.__version__} sees no CUDA GPU; use device=cpu, or a GPU and a CUDA build of PyTorch"
            )

    def version(self) -> str:
        return str(torch.__version__)

    def accelerator(self) -> str | None:
        return torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else None

    def prepare(self, model: bytes, precision: str) -> bytes:
        check_precision(self, precision)
        return model

    def kernels(self, model: bytes, precision: str) -> tuple[Launch, ...]:
        check_precision(self, precision)
        if self.options["mode"] == "compiled":
            raise ModelError("PyTorch's compiler writes kernels that can't be cut out of the network; use mode=eager")
        proto = parsed(model)
        onnx_to_torch(proto)  # tells what it can't run
        parts = [Part(node.name or node.output[0], [node]) for node in proto.graph.node]
        return launches(proto, parts, values_of(proto))

    def load(self, model: bytes, *, threads: int, precision: str, as_is: bool = False) -> TorchSession:
        check_precision(self, precision)
        if precision == "bf16" and self._device.type == "cpu" and not _has_bf16():
            raise ModelError("this processor has no bf16 arithmetic, PyTorch would imitate it; use fp32")
        proto = parsed(model)
        module = onnx_to_torch(proto, _DTYPES[precision]).to(self._device)
        session = TorchSession(
            torch.compile(module, dynamic=False) if self.options["mode"] == "compiled" else module,
            self._device,
            _DTYPES[precision],
            threads,
            graph=self.options.get("graph") == "yes",
        )
        try:
            session.run([stand_in(_of_one_image(port_of(entry))) for entry in entries_of(proto)])
        except Exception as error:  # whatever PyTorch or its compiler raise
            raise ModelError(f"PyTorch can't run the model: {first_line(error)}") from None
        return session

    def observe(self, model: bytes, feeds: Sequence[Feed], *, precision: str) -> Observation:
        """See :class:`hwnas.runtimes.base.ShowsValues`."""
        proto = parsed(model)
        showing = showing_all(proto)
        session = self.load(showing.SerializeToString(), threads=1, precision=precision)
        names, entries = [output.name for output in showing.graph.output], entries_of(proto)
        runs = [dict(zip(names, session.run([feed[entry.name] for entry in entries]), strict=True)) for feed in feeds]
        return observation(proto, feeds, runs)


@dataclass(frozen=True)
class TorchSession:
    """See :class:`hwnas.runtimes.base.Session`."""

    module: Callable[..., tuple[torch.Tensor, ...]]
    device: torch.device
    dtype: torch.dtype
    threads: int
    graph: bool

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        with _as_asked(self.threads, self.device):
            return tuple(map(self._array, self.module(*map(self._entry, inputs))))

    def bind(self, inputs: Sequence[Array]) -> Callable[[], float | None]:
        entries = tuple(map(self._entry, inputs))

        def infer() -> None:
            with _as_asked(self.threads, self.device):
                self.module(*entries)

        if self.device.type == "cpu":
            return infer
        return timed_by_events(CudaGraph(infer) if self.graph else infer)

    def _entry(self, given: Array) -> torch.Tensor:
        entry = torch.from_numpy(np.asarray(given, order="C")).to(self.device)
        if entry.dtype is torch.float32:
            entry = entry.to(self.dtype)
        return entry.contiguous(memory_format=torch.channels_last) if entry.ndim == _IMAGES_NDIM else entry

    def _array(self, result: torch.Tensor) -> Array:
        return np.asarray((result.float() if result.dtype is self.dtype else result).cpu().numpy())


def _of_one_image(port: Port) -> Port:
    """With 1 for sizes that the model leaves open."""
    return port._replace(shape=tuple(size or 1 for size in port.shape))


def _has_bf16() -> bool:
    """Whether the processor has; on those that PyTorch tells nothing of, it is taken to."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if capabilities.get("architecture") != "x86_64":
        return True
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


@contextmanager
def _as_asked(threads: int, device: torch.device) -> Iterator[None]:
    """Without gradients and with ``threads``; on a GPU with cuDNN's fastest algorithms, and fp32 being fp32, not TF32.

    Afterwards the process has its own settings back.
    """
    before = torch.get_num_threads()
    if threads != before:
        torch.set_num_threads(threads)
    on_gpu = torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)
    try:
        with torch.inference_mode(), on_gpu if device.type == "cuda" else nullcontext():
            yield
    finally:
        if threads != before:
            torch.set_num_threads(before)
