"""TensorRT: engines are built here for GPUs that aren't here; the contract runs where there is one."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from hwnas.errors import ConfigError, ModelError, RuntimeMissingError
from hwnas.nn.derive import Network, load_scarlet
from hwnas.nn.to_onnx import to_onnx
from hwnas.runtimes.base import nvidia_gpu
from hwnas.runtimes.half import to_half
from hwnas.runtimes.registry import get_runtime
from hwnas.runtimes.tensorrt import TensorRt
from hwnas.space.space import Space
from hwnas.testing import RuntimeContract

pytest.importorskip("tensorrt_rtx", reason="the extra tensorrt-rtx isn't installed")
no_gpu = pytest.mark.skipif(nvidia_gpu() is not None, reason="is about a machine without a GPU")
CAPABILITIES = ("80", "86", "89", "120")
needs_gpu = pytest.mark.skipif(nvidia_gpu() is None, reason="needs an NVIDIA GPU")


@needs_gpu
class TestContract(RuntimeContract):
    @pytest.fixture(params=["tensorrt", "tensorrt-rtx"])
    def runtime(self, request: pytest.FixtureRequest) -> TensorRt:
        if request.param == "tensorrt":
            pytest.importorskip("tensorrt", reason="the extra tensorrt isn't installed")
        return TensorRt(request.param)


def building_for(capability: str) -> TensorRt:
    return TensorRt("tensorrt-rtx", {"capability": capability})


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a tool in front of the driver's that says what it is given."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def says(line: str) -> None:
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\necho '{line}'\n")
        tool.chmod(0o755)

    return says


@pytest.fixture
def network(small_space: Space) -> bytes:
    return to_onnx(Network(small_space, [1] * small_space.num_layers).eval(), (3, 16, 16))


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_builds(network: bytes, capability: str, precision: str) -> None:
    """The engine's own listing of tensors says what was built: the precision asked for, and for which GPU."""
    engine = building_for(capability).prepare(network, precision)
    assert [c for c in CAPABILITIES if f"sm{c}".encode() in engine] == [capability]
    types = Counter(re.findall(rb"type=(\w+) }", engine))
    if precision == "fp16":
        assert types[b"half"] > 10 * types[b"float"]
    else:
        assert types[b"half"] == 0
        assert (types[b"int8"] > types[b"float"] / 3) == (precision == "int8")


@pytest.mark.parametrize("capability", ["86", "89"])
def test_builds_scarlet_a_with_less_to_store_where_precision_is_lower(capability: str) -> None:
    model = to_onnx(load_scarlet("scarlet-a"), (3, 224, 224))
    size = {p: len(building_for(capability).prepare(model, p)) for p in ("fp32", "fp16", "int8")}
    assert size["fp32"] > 4 * 6.7e6  # its weights alone
    assert size["fp16"] < 0.8 * size["fp32"]
    assert size["int8"] < 0.8 * size["fp32"]


def test_a_gpu_that_cant_says_so(network: bytes) -> None:
    with pytest.raises(ModelError, match=r"can't build the model for compute capability 75: .*FP32"):
        building_for("75").prepare(network, "fp32")
    building_for("75").prepare(network, "fp16")


@no_gpu
def test_without_a_gpu(network: bytes) -> None:
    runtime = building_for("86")
    assert runtime.accelerator() is None
    engine = runtime.prepare(network, "fp16")
    with pytest.raises(RuntimeMissingError, match="runs on an NVIDIA GPU and there is none here"):
        runtime.load(engine, threads=1, precision="fp16")
    with pytest.raises(ModelError, match="there is none here; build where it is, or set its option capability"):
        TensorRt("tensorrt-rtx").prepare(network, "fp16")


def test_builds_for_the_gpu_that_is_here(network: bytes, nvidia_smi: Callable[[str], None]) -> None:
    nvidia_smi("NVIDIA RTX A2000, 8.6")
    assert b"sm86" in TensorRt("tensorrt-rtx").prepare(network, "fp16")
    nvidia_smi("NVIDIA H100, 9.0")
    with pytest.raises(ModelError, match=r"builds for compute capabilities 75, .*, not for NVIDIA H100, which has 90"):
        TensorRt("tensorrt-rtx").prepare(network, "fp16")


def test_refuses_what_it_cant_take(network: bytes) -> None:
    runtime = building_for("86")
    with pytest.raises(ModelError, match="runs fp32, fp16, int8, not 'bf16'"):
        runtime.prepare(network, "bf16")
    for broken in (b"", b"no model", network[: len(network) // 2]):
        with pytest.raises(ModelError):
            runtime.prepare(broken, "fp32")
    unknown = onnx.load_from_string(network)
    unknown.graph.node[0].op_type = "NoSuchLayer"
    with pytest.raises(ModelError, match="tensorrt-rtx can't read the model"):
        runtime.prepare(unknown.SerializeToString(), "fp32")


def test_options() -> None:
    assert TensorRt("tensorrt-rtx").options == {
        "capability": "here", "level": "3", "workspace_mib": "all", "cache": "memory",
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"option capability of runtime tensorrt-rtx is one of here, 75, .*not '90'"):
        building_for("90")
    with pytest.raises(ConfigError, match="no option 'streams'; it has capability"):
        TensorRt("tensorrt-rtx", {"streams": "2"})
    for option, value in (("level", "6"), ("level", "-1"), ("workspace_mib", "1000"), ("cache", "/tmp/elsewhere")):
        with pytest.raises(ConfigError, match=f"option {option} of runtime tensorrt-rtx is one of .*not '{value}'"):
            TensorRt("tensorrt-rtx", {option: value})


def test_names_the_extra_to_install() -> None:
    try:
        import tensorrt  # noqa: F401
    except ImportError:
        with pytest.raises(RuntimeMissingError, match=r"pip install 'hwnas\[tensorrt\]'"):
            get_runtime("tensorrt")
    else:
        assert get_runtime("tensorrt").version()


def test_half_computes_in_fp16_between_two_casts(network: bytes) -> None:
    proto = onnx.load_from_string(to_half(network))
    assert {w.data_type for w in proto.graph.initializer} == {TensorProto.FLOAT16}
    onnx.checker.check_model(proto, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    types = {value.name: value.type.tensor_type.elem_type for value in inferred.graph.value_info}
    computed = [node.output[0] for node in proto.graph.node[:-1]]
    assert {types[name] for name in computed} == {TensorProto.FLOAT16}
    for value in (*proto.graph.input, *proto.graph.output):
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT


def test_half_is_within_fp16s_rounding(network: bytes) -> None:
    runtime = get_runtime("onnxruntime")
    images = np.random.default_rng(0).standard_normal((4, 3, 16, 16), dtype=np.float32)
    full, half = (runtime.load(m, threads=1, precision="fp32").run(images) for m in (network, to_half(network)))
    assert 0 < np.linalg.norm(half - full) < 5e-3 * np.linalg.norm(full)


def test_half_refuses_a_weight_beyond_its_range(network: bytes) -> None:
    proto = onnx.load_from_string(network)
    weight = next(w for w in proto.graph.initializer if w.name.endswith("weight"))
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) + np.float32(1e5), weight.name))
    with pytest.raises(ModelError, match=f"weight {weight.name} doesn't fit fp16"):
        to_half(proto.SerializeToString())
