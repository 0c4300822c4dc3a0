"""TensorRT: engines are built here for GPUs that aren't here; the contract runs where there is one."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hwnas.errors import ConfigError, ModelError, RuntimeMissingError
from hwnas.nn.network import Network
from hwnas.nn.released import load_scarlet
from hwnas.onnx.model import model_of
from hwnas.onnx.precision.half import to_half
from hwnas.onnx.precision.int8 import ONNXRUNTIME, TENSORRT, quantize, random_feeds
from hwnas.records.target import Batch
from hwnas.runtimes.cuda import gpu_here
from hwnas.runtimes.registry import get_runtime
from hwnas.runtimes.tensorrt import TensorRt
from hwnas.runtimes.tensorrt_build import WEIGHTED, Shapes
from hwnas.space.chain import ChainSpace
from hwnas.testing import RuntimeContract
from tests.onnx_models import onnx_of

pytest.importorskip("tensorrt_rtx", reason="the extra tensorrt-rtx isn't installed")
no_gpu = pytest.mark.skipif(gpu_here() is not None, reason="is about a machine without a GPU")
CAPABILITIES = ("80", "86", "89", "120")
needs_gpu = pytest.mark.skipif(gpu_here() is None, reason="needs an NVIDIA GPU")


@needs_gpu
class TestContract(RuntimeContract):
    @pytest.fixture(params=["tensorrt", "tensorrt-rtx"])
    def runtime(self, request: pytest.FixtureRequest) -> TensorRt:
        if request.param == "tensorrt":
            pytest.importorskip("tensorrt", reason="the extra tensorrt isn't installed")
        return TensorRt(request.param)


@needs_gpu
@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_loaded_engine_tells_its_precision_and_its_batches(network: bytes, name: str, precision: str) -> None:
    pytest.importorskip(name.replace("-", "_"))
    runtime = TensorRt(name)
    session = runtime.load(runtime.prepare(network, precision), threads=1, precision=precision)
    told = session.precisions()
    assert not told or precision in told  # compiled together with others, layers aren't told
    with pytest.raises(
        ModelError, match=r"takes float32 \(1 to 64, 3, 16, 16\) as images, not float32 \(65, 3, 16, 16\)"
    ):
        session.run([np.zeros((65, 3, 16, 16), np.float32)])


@needs_gpu
def test_kernels_kept_on_disk_change_no_numbers(
    network: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    images = np.random.default_rng(0).standard_normal((2, 3, 16, 16), dtype=np.float32)
    engine = TensorRt("tensorrt-rtx").prepare(network, "fp16")
    found = []
    for _ in range(2):
        runtime = TensorRt("tensorrt-rtx", {"cache": "disk"})
        found.append(runtime.load(engine, threads=1, precision="fp16").run([images])[0])
        assert len(list((tmp_path / "hwnas").iterdir())) == 1
    np.testing.assert_array_equal(*found)


def building_for(capability: str) -> TensorRt:
    return TensorRt("tensorrt-rtx", {"capability": capability})


@pytest.fixture
def network(small_space: ChainSpace) -> bytes:
    return onnx_of(Network(small_space, [1] * small_space.num_layers).eval(), (3, 16, 16))


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


@cache
def released(name: str, precision: str) -> bytes:
    model = onnx_of(load_scarlet(name), (3, 224, 224))
    return {"fp32": model, "fp16": to_half(model)}.get(precision) or quantize(model, random_feeds(model), TENSORRT)


@pytest.mark.parametrize("capability", ["86", "89"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("name", ["scarlet-a", "scarlet-b", "scarlet-c"])
def test_builds_released_archs_in_the_precision_of_the_graph(name: str, precision: str, capability: str) -> None:
    """Every layer with weights of the graph is in the network, in that precision; the engine has less to store."""
    graph = released(name, precision)
    built = building_for(capability).build(graph, Batch(min=1, opt=4, max=8))
    weighted = [node for node in onnx.load_from_string(graph).graph.node if node.op_type in ("Conv", "Gemm")]
    assert Counter(x.precision for x in built.layers if x.type in WEIGHTED) == {precision: len(weighted)}
    shapes = Shapes(min=(1, 3, 224, 224), opt=(4, 3, 224, 224), max=(8, 3, 224, 224))
    assert built.profile == {"images": shapes}
    stored = stored_bytes(built.engine)
    weights = sum(math.prod(w.dims) for w in onnx.load_from_string(graph).graph.initializer if len(w.dims) > 1)
    assert stored[precision] >= {"fp16": 2, "int8": 1}[precision] * weights
    assert stored[precision] >= 0.9 * stored.total()


def stored_bytes(engine: bytes) -> Counter[str]:
    """Of constants by precision, from the listing inside the engine: TensorRT-RTX's own word on what was built."""
    types = {b"float": "fp32", b"half": "fp16", b"int8": "int8"}
    found: Counter[str] = Counter()
    for size, kind in re.findall(rb"const_payload_size=(\d+) [^\n]*? type=(\w+) }", engine):
        found[types[kind]] += int(size)
    return found


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


def test_builds_for_the_gpu_that_is_here(network: bytes, nvidia_smi: Callable[[str | None], None]) -> None:
    nvidia_smi("NVIDIA RTX A2000, 8.6")
    assert b"sm86" in TensorRt("tensorrt-rtx").prepare(network, "fp16")
    nvidia_smi("NVIDIA H100, 9.0")
    with pytest.raises(ModelError, match=r"builds for compute capabilities 75, .*, not for NVIDIA H100, which has 90"):
        TensorRt("tensorrt-rtx").prepare(network, "fp16")


def test_a_jetsons_gpu_is_told_by_pytorch(
    monkeypatch: pytest.MonkeyPatch, nvidia_smi: Callable[[str | None], None]
) -> None:
    for line in ("Orin (nvgpu), [N/A]", None):
        nvidia_smi(line)
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        assert gpu_here() is None
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        monkeypatch.setattr("torch.cuda.get_device_name", lambda: "Orin")
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (8, 7))
        assert gpu_here() == ("Orin", "87")


def test_refuses_what_it_cant_take(network: bytes) -> None:
    runtime = building_for("86")
    with pytest.raises(ModelError, match="runs fp32, fp16, int8, not 'bf16'"):
        runtime.prepare(network, "bf16")
    for broken in (b"", b"no model", network[: len(network) // 2]):
        with pytest.raises(ModelError):
            runtime.prepare(broken, "fp32")


def test_a_parser_error_names_the_node(network: bytes) -> None:
    unknown = onnx.load_from_string(network)
    unknown.graph.node[3].op_type = "NoSuchLayer"
    name = re.escape(unknown.graph.node[3].name)
    with pytest.raises(ModelError, match=rf"tensorrt-rtx can't read the model: node {name} \(NoSuchLayer\): .*Plugin"):
        building_for("86").build(unknown.SerializeToString())
    asymmetric = quantize(network, random_feeds(network), ONNXRUNTIME)
    with pytest.raises(ModelError, match=r"node images.quantize \(QuantizeLinear\): .*[Nn]on-zero zero point"):
        building_for("86").build(asymmetric)


def test_preprocessing_inside_the_graph_builds(network: bytes) -> None:
    """Bytes as they come from an image file, (N, H, W, C), are cast and transposed before the first convolution."""
    proto = onnx.load_from_string(network)
    entry = proto.graph.input[0]
    nodes = [
        helper.make_node("Cast", ["bytes"], ["floats"], "floats", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], [entry.name], "planes", perm=[0, 3, 1, 2]),
    ]
    proto.graph.input[0].CopyFrom(helper.make_tensor_value_info("bytes", TensorProto.UINT8, ["batch", 16, 16, 3]))
    for node in reversed(nodes):
        proto.graph.node.insert(0, node)
    built = building_for("86").build(proto.SerializeToString())
    assert built.profile["bytes"].max == (64, 16, 16, 3)
    assert {layer.precision for layer in built.layers} == {"fp32"}


def test_the_builder_gets_the_settings(network: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    create, made = trt.Builder.create_builder_config, []

    def recorded(builder: Any) -> Any:
        made.append(create(builder))
        return made[-1]

    monkeypatch.setattr(trt.Builder, "create_builder_config", recorded)
    options = {"capability": "89", "level": "5", "workspace_mib": "256"}
    TensorRt("tensorrt-rtx", options).build(network)
    (config,) = made
    assert config.builder_optimization_level == 5
    assert config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == 256 << 20
    assert config.get_compute_capability(0) == trt.ComputeCapability.SM89
    assert not config.get_flag(trt.BuilderFlag.TF32)


def test_too_little_workspace_is_told() -> None:
    runtime = TensorRt("tensorrt-rtx", {"capability": "86", "workspace_mib": "16"})
    with pytest.raises(ModelError, match=r"can't build the model for compute capability 86: .*OutOfMemory"):
        runtime.build(released("scarlet-a", "fp32"))


def test_a_batch_that_makes_no_sense_is_refused(network: bytes) -> None:
    with pytest.raises(ModelError, match="tensorrt-rtx refuses the settings of the build: "):
        building_for("86").build(network, Batch.model_construct(min=4, opt=2, max=1))


def test_progress_goes_from_the_first_step_to_the_last(network: bytes) -> None:
    told: list[tuple[str, int, int, str]] = []
    building_for("86").build(network, progress=lambda *call: told.append(call))
    assert {what for what, *_ in told} == {"building"}
    done = [(done, total) for _, done, total, _ in told]
    assert done == sorted(done)
    assert done[-1][0] == done[-1][1]
    assert any(re.fullmatch(r"optimizing graph \d+/\d+", note) for *_, note in told)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupt_ends_the_build_and_nothing_else(network: bytes, error: type[BaseException]) -> None:
    calls = []

    def interrupts(*_: object) -> None:
        calls.append(1)
        raise error

    with pytest.raises(error):
        building_for("86").build(network, progress=interrupts)
    assert len(calls) < 10
    assert building_for("86").build(network).engine


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
    full, half = (runtime.load(m, threads=1, precision="fp32").run([images])[0] for m in (network, to_half(network)))
    assert 0 < np.linalg.norm(half - full) < 5e-3 * np.linalg.norm(full)


def test_half_refuses_a_weight_beyond_its_range(network: bytes) -> None:
    proto = onnx.load_from_string(network)
    weight = next(w for w in proto.graph.initializer if w.name.endswith("weight"))
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) + np.float32(1e5), weight.name))
    with pytest.raises(ModelError, match=f"weight {weight.name} doesn't fit fp16"):
        to_half(proto.SerializeToString())


def test_its_kernels_are_the_layers_of_the_parsed_network(network: bytes) -> None:
    """Without a GPU: an engine can't be read."""
    model = model_of(network, "net").data
    launches = get_runtime("tensorrt-rtx").kernels(model, "fp32")
    nodes = onnx.load_from_string(model).graph.node
    assert [launch.kernel.kind for launch in launches if launch.kernel] == [node.op_type for node in nodes]


def test_its_kernels_have_what_quantizes_around_them(network: bytes) -> None:
    model = model_of(quantize(network, random_feeds(network), TENSORRT), "net").data
    launches = get_runtime("tensorrt-rtx").kernels(model, "int8")
    kinds = [launch.kernel.kind for launch in launches if launch.kernel]
    convs = [kind for kind in kinds if "Conv" in kind]
    assert len(convs) == sum(node.op_type == "Conv" for node in onnx.load_from_string(model).graph.node)
    assert all(kind.startswith("DequantizeLinear+DequantizeLinear+Conv") for kind in convs)
    assert not any(kind in ("DequantizeLinear", "DequantizeLinear+QuantizeLinear") for kind in kinds)
