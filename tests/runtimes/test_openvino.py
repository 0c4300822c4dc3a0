"""OpenVINO: the contract, and what is its own. Where it isn't installed, nothing of it can be tested."""

from __future__ import annotations

from typing import Any

import pytest

from hwnas.errors import ModelError
from hwnas.nn.derive import Network
from hwnas.nn.to_onnx import to_onnx
from hwnas.space.space import Space
from hwnas.testing import RuntimeContract

openvino = pytest.importorskip("openvino", reason="the extra openvino isn't installed")

from hwnas.runtimes.openvino import OpenVino, OpenVinoSession  # noqa: E402


class WithoutBf16(OpenVino):
    """As on a processor that has none."""

    precisions = ("fp32", "int8")


def _here() -> OpenVino:
    runtime = OpenVino()
    return runtime if "BF16" in runtime._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else WithoutBf16()


class TestContract(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> OpenVino:
        return _here()


@pytest.fixture
def network(small_space: Space) -> bytes:
    return to_onnx(Network(small_space, [1] * small_space.num_layers).eval(), (3, 16, 16))


def test_refuses_a_model_that_isnt_computed_as_asked(network: bytes) -> None:
    """One that nobody quantized is fp32, whatever it is called."""
    with pytest.raises(ModelError, match="computes this model in f32 where int8 was asked"):
        OpenVino().load(network, threads=1, precision="int8")


class CoreWithoutBf16(openvino.Core):  # type: ignore[misc]
    def get_property(self, *args: str) -> Any:
        found = super().get_property(*args)
        return [name for name in found if name != "BF16"] if args[-1] == "OPTIMIZATION_CAPABILITIES" else found


def test_refuses_bf16_where_the_processor_has_none(network: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "Core", CoreWithoutBf16)
    OpenVino().load(network, threads=1, precision="fp32")
    with pytest.raises(ModelError, match="this processor has no bf16 arithmetic that OpenVINO uses; use fp32 or int8"):
        OpenVino().load(network, threads=1, precision="bf16")


@pytest.mark.parametrize(("threads", "streams"), [(1, "1"), (2, "1"), (2, "2")])
def test_asks_for_what_the_options_say(network: bytes, threads: int, streams: str) -> None:
    runtime = OpenVino({"streams": streams})
    session = runtime.load(network, threads=threads, precision="fp32")
    assert isinstance(session, OpenVinoSession)
    (compiled,) = session._compiled.values()
    assert compiled.get_property("NUM_STREAMS") == int(streams)
    assert compiled.get_property("INFERENCE_NUM_THREADS") == threads
    assert str(compiled.get_property("INFERENCE_PRECISION_HINT")) == "<Type: 'float32'>"
