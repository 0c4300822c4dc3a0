"""ONNX Runtime: the contract, and what is its own."""

from __future__ import annotations

import os

import numpy as np
import onnxruntime as ort
import pytest

from hwnas.errors import ModelError, RuntimeMissingError
from hwnas.nn.network import Network
from hwnas.runtimes.onnxruntime import OnnxRuntime
from hwnas.space.chain import ChainSpace
from hwnas.testing import RuntimeContract
from tests.onnx_models import onnx_of

PROVIDERS = [
    ("cuda", "CUDAExecutionProvider", "onnxruntime-gpu"),
    ("tensorrt", "TensorrtExecutionProvider", "onnxruntime-gpu"),
    ("openvino", "OpenVINOExecutionProvider", "onnxruntime-openvino"),
]
AVAILABLE = [provider for provider, name, _ in PROVIDERS if name in ort.get_available_providers()]


@pytest.fixture
def network(small_space: ChainSpace) -> bytes:
    return onnx_of(Network(small_space, [1] * small_space.num_layers).eval(), (3, 16, 16))


class TestContract(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> OnnxRuntime:
        return OnnxRuntime()


class TestContractOfOtherProviders(RuntimeContract):
    """Where there are any."""

    __test__ = bool(AVAILABLE)

    @pytest.fixture(params=AVAILABLE)
    def runtime(self, request: pytest.FixtureRequest) -> OnnxRuntime:
        return OnnxRuntime({"provider": request.param})


@pytest.mark.parametrize(("provider", "name", "package"), PROVIDERS)
def test_a_missing_provider_names_its_package(
    provider: str, name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(RuntimeMissingError, match=f"has no {name}; .*pip install {package}$"):
        OnnxRuntime({"provider": provider})


@pytest.mark.parametrize("optimization", ["all", "extended", "basic", "disable"])
def test_optimizing_changes_no_numbers(network: bytes, optimization: str) -> None:
    images = np.random.default_rng(0).standard_normal((2, 3, 16, 16), dtype=np.float32)
    runtime = OnnxRuntime({"optimization": optimization})
    result = runtime.load(network, threads=1, precision="fp32").run([images])[0]
    expected = OnnxRuntime().load(network, threads=1, precision="fp32").run([images])[0]
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())


def test_asks_for_what_the_options_say(network: bytes) -> None:
    session = OnnxRuntime({"optimization": "basic"}).load(network, threads=2, precision="fp32")
    asked = session._session.get_session_options()
    assert asked.graph_optimization_level == ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    assert (asked.intra_op_num_threads, asked.inter_op_num_threads) == (2, 1)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_tensorrt_computes_in_the_graphs_precision_and_no_other(
    network: bytes, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked of a provider that isn't here, up to the call."""
    asked = {}

    class Refusing:
        def __init__(
            self, model: bytes, options: ort.SessionOptions, providers: list[tuple[str, dict[str, str]]]
        ) -> None:
            asked.update(
                providers=providers, fallback=options.get_session_config_entry("session.disable_cpu_ep_fallback")
            )
            raise RuntimeError("no such provider here")

    monkeypatch.setattr(ort, "get_available_providers", lambda: ["TensorrtExecutionProvider"])
    monkeypatch.setattr(ort, "InferenceSession", Refusing)
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    with pytest.raises(ModelError, match="no such provider here"):
        OnnxRuntime({"provider": "tensorrt"}).load(network, threads=1, precision=precision)
    ((name, settings),) = asked["providers"]
    assert (name, asked["fallback"]) == ("TensorrtExecutionProvider", "1")
    assert set(settings) >= {"trt_fp16_enable", "trt_int8_enable", "trt_engine_cache_enable"}
    assert set(settings.values()) == {"False"}
    assert os.environ["NVIDIA_TF32_OVERRIDE"] == "0"
