"""The contract suite itself: a runtime with a fault must fail the test that is about it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.arrays import Array
from hwnas.errors import ModelError
from hwnas.graph.kernel import Launch
from hwnas.runtimes.base import Session
from hwnas.runtimes.onnxruntime import OnnxRuntime
from hwnas.testing import RuntimeContract

Call = Callable[[RuntimeContract, Any], None]


class Faulty:
    """ONNX Runtime, but for what a subclass breaks."""

    name = "faulty"
    options: Mapping[str, str] = {}
    precisions: tuple[str, ...] = ("fp32",)
    runs_as_is = True

    def __init__(self) -> None:
        self._sound = OnnxRuntime()

    def version(self) -> str:
        return "1"

    def accelerator(self) -> str | None:
        return None

    def prepare(self, model: bytes, precision: str) -> bytes:
        return self._sound.prepare(model, precision)

    def kernels(self, model: bytes, precision: str) -> tuple[Launch, ...]:
        return self._sound.kernels(model, precision)

    def load(self, model: bytes, *, threads: int, precision: str, as_is: bool = False) -> Any:
        return FaultySession(self._sound.load(model, threads=threads, precision=precision, as_is=as_is))


class FaultySession:
    def __init__(self, session: Session) -> None:
        self._session = session

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        return self._session.run(inputs)

    def bind(self, inputs: Sequence[Array]) -> Callable[[], float | None]:
        return self._session.bind(inputs)


class NoVersion(Faulty):
    def version(self) -> str:
        return ""


def _with_session(**methods: Any) -> type[Faulty]:
    session = type("Session", (FaultySession,), methods)

    class WithSession(Faulty):
        def load(self, model: bytes, *, threads: int, precision: str, as_is: bool = False) -> Any:
            return session(self._sound.load(model, threads=threads, precision=precision))

    return WithSession


def _slightly_off(self: Any, inputs: Sequence[Array]) -> tuple[Array, ...]:
    return tuple(each * np.float32(1.001) for each in self._session.run(inputs))


def _first_image_only(self: Any, inputs: Sequence[Array]) -> tuple[Array, ...]:
    (images,) = inputs
    return tuple(np.repeat(each, len(images), axis=0) for each in self._session.run([images[:1]]))


def _asynchronous(self: Any, inputs: Sequence[Array]) -> Callable[[], None]:
    call = self._session.bind(inputs)
    # It starts when the caller has the processor back: on a busy machine it could else be over before that.
    return lambda: threading.Timer(0.002, call).start()


def _no_time(self: Any, inputs: Sequence[Array]) -> Callable[[], float]:
    return lambda: 0.0


class Shared(Faulty):
    """The session that was loaded last is everyone's."""

    def load(self, model: bytes, *, threads: int, precision: str, as_is: bool = False) -> Any:
        self.last = super().load(model, threads=threads, precision=precision)
        owner = self
        forwarding = type(
            "Forwarding", (), {m: lambda _, inputs, m=m: getattr(owner.last, m)(inputs) for m in ("run", "bind")}
        )
        return forwarding()


class ChangesThreads(Faulty):
    def load(self, model: bytes, *, threads: int, precision: str, as_is: bool = False) -> Any:
        torch.set_num_threads(threads)
        return super().load(model, threads=threads, precision=precision)


class Obliging(Faulty):
    """Takes any precision and computes in fp32."""

    def prepare(self, model: bytes, precision: str) -> bytes:
        return model

    def load(self, model: bytes, *, threads: int, precision: str, as_is: bool = False) -> Any:
        return super().load(model, threads=threads, precision="fp32")


class Crashing(Faulty):
    """Lets its library's own exceptions through."""

    def load(self, model: bytes, *, threads: int, precision: str, as_is: bool = False) -> Any:
        try:
            return super().load(model, threads=threads, precision=precision)
        except ModelError as error:
            raise RuntimeError(str(error)) from None


class Opens(Faulty):
    """Reads weights from other files."""

    def load(self, model: bytes, *, threads: int, precision: str, as_is: bool = False) -> Any:
        import onnx
        from onnx.external_data_helper import load_external_data_for_model

        proto = onnx.load_from_string(model)
        load_external_data_for_model(proto, "")
        return super().load(proto.SerializeToString(), threads=threads, precision=precision)


class LosesKernels(Faulty):
    """Doesn't say why it can't cut one out."""

    def kernels(self, model: bytes, precision: str) -> tuple[Launch, ...]:
        first, *others = super().kernels(model, precision)
        return (first._replace(kernel=None), *others)


class CannotRunKernels(Faulty):
    """Takes whole models only."""

    def load(self, model: bytes, *, threads: int, precision: str, as_is: bool = False) -> Any:
        if as_is:
            raise ModelError("can't load a kernel")
        return super().load(model, threads=threads, precision=precision)


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        (NoVersion, lambda c, r: c.test_says_what_it_is(r)),
        (_with_session(run=_slightly_off), lambda c, r: c.test_agrees_with_pytorch(r, "gated")),
        (_with_session(run=_first_image_only), lambda c, r: c.test_takes_any_batch(r)),
        (_with_session(bind=_no_time), lambda c, r: c.test_a_bound_call_repeats_one_inference(r)),
        (_with_session(bind=_asynchronous), lambda c, r: c.test_a_bound_call_ends_when_the_inference_does(r)),
        (Shared, lambda c, r: c.test_sessions_leave_each_other_alone(r)),
        (ChangesThreads, lambda c, r: c.test_leaves_the_process_as_it_was(r)),
        (Obliging, lambda c, r: c.test_refuses_another_precision(r)),
        (Crashing, lambda c, r: c.test_refuses_a_model_cut_short(r, 0.3)),
        (Crashing, lambda c, r: c.test_refuses_what_is_no_model(r)),
        (LosesKernels, lambda c, r: c.test_tells_its_kernels_or_that_it_does_not(r)),
        (CannotRunKernels, lambda c, r: c.test_tells_its_kernels_or_that_it_does_not(r)),
    ],
)
def test_a_fault_is_found(fault: type[Faulty], test: Call) -> None:
    threads = torch.get_num_threads()
    try:
        test(RuntimeContract(), OnnxRuntime())
        with pytest.raises((Exception, pytest.fail.Exception)):
            test(RuntimeContract(), fault())
    finally:
        torch.set_num_threads(threads)


def test_reading_other_files_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(pytest.fail.Exception):
        RuntimeContract().test_opens_no_other_file(Opens(), tmp_path, monkeypatch)


class TestSoundWrapper(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Faulty:
        return Faulty()
