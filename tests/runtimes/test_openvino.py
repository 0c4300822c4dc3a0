"""OpenVINO: the contract, and what is its own. Where it isn't installed, nothing of it can be tested."""

from __future__ import annotations

import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from hwnas.errors import ConfigError, ModelError, RuntimeMissingError
from hwnas.nn.network import Network
from hwnas.onnx.precision.int8 import OPENVINO, nodes_of, quantize_by, random_feeds, ranges_of
from hwnas.space.chain import ChainSpace
from hwnas.testing import RuntimeContract
from tests.onnx_models import onnx_of

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
def network(small_space: ChainSpace) -> bytes:
    return onnx_of(Network(small_space, [1] * small_space.num_layers).eval(), (3, 16, 16))


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
    with pytest.raises(
        RuntimeMissingError, match="this processor has no bf16 arithmetic that OpenVINO uses; use fp32 or int8"
    ):
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


def test_importing_it_reports_nothing_home(tmp_path: Path) -> None:
    """In a fresh process with a home of its own: OpenVINO by itself would keep an identity there and send an event."""
    program = """
import sys, threading
import hwnas.runtimes.openvino
print([name for name in sys.modules if "openvino_telemetry" in name], threading.active_count())
"""
    home = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={**home, "HOME": str(tmp_path)}
    ).stdout
    assert told.split() == ["[]", "1"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("batch", [1, 3])
def test_a_model_of_one_batch_takes_no_other(network: bytes, batch: int) -> None:
    model = onnx.load_from_string(network)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    del model.graph.value_info[:]
    session = OpenVino().load(model.SerializeToString(), threads=1, precision="fp32")
    assert session.run([np.zeros((batch, 3, 16, 16), np.float32)])[0].shape == (batch, 10)
    with pytest.raises(ModelError, match=r"the model takes an input of \[\d,3,16,16\], not \[2, 3, 16, 16\]"):
        session.run([np.zeros((2, 3, 16, 16), np.float32)])


def test_refuses_images_of_another_size(network: bytes) -> None:
    session = OpenVino().load(network, threads=1, precision="fp32")
    with pytest.raises(ModelError, match=r"the model takes an input of \[\?,3,16,16\], not \[1, 3, 8, 8\]"):
        session.run([np.zeros((1, 3, 8, 8), np.float32)])


def test_what_int8_leaves_in_float_is_computed_as_asked(network: bytes) -> None:
    images = random_feeds(network)
    depthwise = nodes_of(onnx.load_from_string(network), "depthwise")
    graph = quantize_by(ranges_of(network, images, OPENVINO, "minmax"), network, OPENVINO, ["depthwise"])
    assert OpenVino().load(graph, threads=1, precision="int8").precisions()["fp32"] == len(depthwise)
    runtime = OpenVino({"floats": "bf16"})
    assert runtime.options == {"streams": "1", "floats": "bf16"}
    if isinstance(_here(), WithoutBf16):
        with pytest.raises(RuntimeMissingError, match="no bf16 arithmetic"):
            runtime.load(graph, threads=1, precision="int8")
    else:
        assert runtime.load(graph, threads=1, precision="int8").precisions()["bf16"] == len(depthwise)
    assert runtime.load(network, threads=1, precision="fp32").precisions().keys() == {"fp32"}
    with pytest.raises(ConfigError, match="floats of runtime openvino is one of fp32, bf16"):
        OpenVino({"floats": "fp16"})


def test_a_bound_call_keeps_what_it_reads(network: bytes) -> None:
    """OpenVINO reads NumPy's memory, which whoever binds may have let go: it would read whatever came there since."""
    images = np.zeros((1, 3, 16, 16), np.float32)
    kept = weakref.ref(images)
    call = OpenVino().load(network, threads=1, precision="fp32").bind([images])
    del images
    assert kept() is not None
    call()
