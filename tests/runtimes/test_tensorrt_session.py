"""What of running engines needs no GPU: inputs checked before TensorRT reads them, its JSON, its caches."""

from __future__ import annotations

import json
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest

from hwnas.errors import ModelError
from hwnas.nn.network import Network
from hwnas.runtimes.tensorrt import TensorRt
from hwnas.runtimes.tensorrt_cache import Cache, cache_path
from hwnas.runtimes.tensorrt_session import check_input, weight_precisions
from hwnas.space.chain import ChainSpace
from tests.onnx_models import onnx_of

LEAST, MOST = (1, 3, 16, 16), (8, 3, 16, 16)


@pytest.mark.parametrize("batch", [1, 5, 8])
def test_a_batch_of_the_profile_passes(batch: int) -> None:
    check_input("images", np.zeros((batch, 3, 16, 16), np.float32), np.float32, LEAST, MOST)


@pytest.mark.parametrize(
    ("shape", "dtype", "told"),
    [
        ((9, 3, 16, 16), np.float32, r"not float32 \(9, 3, 16, 16\)"),
        ((0, 3, 16, 16), np.float32, r"not float32 \(0, 3, 16, 16\)"),
        ((1, 3, 16, 17), np.float32, r"not float32 \(1, 3, 16, 17\)"),
        ((3, 16, 16), np.float32, r"not float32 \(3, 16, 16\)"),
        ((1, 3, 16, 16), np.float64, "not float64"),
    ],
)
def test_what_the_engine_cant_take_is_told_in_words(shape: tuple[int, ...], dtype: type, told: str) -> None:
    with pytest.raises(ModelError, match=rf"the engine takes float32 \(1 to 8, 3, 16, 16\) as images, {told}"):
        check_input("images", np.zeros(shape, dtype), np.float32, LEAST, MOST)


INSPECTED = {
    "10": {
        "Layers": [
            {"Name": "a", "Weights": {"Type": "Half", "Count": 9}, "Inputs": [{"Format/Datatype": "Row major FP16"}]},
            {"Name": "b", "Weights": {"Type": "Int8", "Count": 9}, "Bias": {"Type": "Float", "Count": 3}},
            {"Name": "c", "Weights": {"Type": "Half", "Count": 9}},
            {"Name": "reformat", "LayerType": "Reformat"},
        ],
        "Bindings": ["images", "logits"],
    },
    "11": {
        "Layers": [
            {
                "Name": "a",
                "Weights": {"Type": "Half", "Count": 9},
                "Inputs": [{"Format": "Linear", "DataType": "FP16"}],
            },
            {"Name": "b", "Weights": {"Type": "Int8", "Count": 9}},
            {"Name": "c", "Weights": {"Type": "Half", "Count": 9}},
        ],
        "I/O Tensors": [{"Name": "images", "DataType": "Float"}],
    },
}


@pytest.mark.parametrize("version", INSPECTED)
def test_precisions_of_the_inspectors_json(version: str) -> None:
    assert weight_precisions(json.dumps(INSPECTED[version])) == {"fp16": 2, "int8": 1}


def test_an_engine_that_hides_its_layers_tells_nothing() -> None:
    assert weight_precisions(json.dumps({"Layers": ["{ForeignNode[a...b]}"]})) == {}
    assert weight_precisions(json.dumps({"Layers": [{"Name": "{ForeignNode[a...b]}"}]})) == {}


def test_a_cache_in_memory_ends_with_its_owner() -> None:
    cache = Cache(None)
    assert cache.read() == b""
    cache.keep(b"timings")
    assert cache.read() == b"timings"
    assert Cache(None).read() == b""


def test_a_cache_on_disk_outlives_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "hwnas" / "timings"
    Cache(path).keep(b"timings")
    assert Cache(path).read() == b"timings"
    assert [p.name for p in path.parent.iterdir()] == ["timings"]


def test_a_folder_that_cant_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "timings")
    assert cache.read() == b""
    cache.keep(b"timings")
    assert cache.read() == b"timings"


def test_each_gpu_and_version_has_its_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    gpus = [("NVIDIA RTX A2000", "86"), ("../../etc", "86"), ("NVIDIA L4", "89")]
    paths = {cache_path("tensorrt", version, *gpu) for gpu in gpus for version in ("10.9", "11.0")}
    assert len(paths) == 6
    assert {path.parent for path in paths} == {tmp_path / "hwnas"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("before", [None, b"not a timing cache"])
def test_a_build_reads_and_keeps_timings(small_space: ChainSpace, tmp_path: Path, before: bytes | None) -> None:
    """By the calls that TensorRT has too; TensorRT-RTX times nothing, so all that is kept is the cache's head."""
    pytest.importorskip("tensorrt_rtx", reason="the extra tensorrt-rtx isn't installed")
    path = tmp_path / "timings"
    if before:
        path.write_bytes(before)
    runtime = TensorRt("tensorrt-rtx", {"level": "0", "capability": "86"})
    runtime._timings = Cache(path)
    graph = onnx_of(Network(small_space, [1] * small_space.num_layers).eval(), (3, 16, 16))
    assert runtime.build(graph).engine
    kept = path.read_bytes()
    assert kept
    assert kept != before
    assert runtime.build(graph).engine


@pytest.mark.parametrize(
    "name",
    [
        "Runtime.deserialize_cuda_engine",
        "ICudaEngine.create_engine_inspector",
        "ICudaEngine.create_execution_context",
        "ICudaEngine.create_runtime_config",
        "ICudaEngine.get_tensor_dtype",
        "ICudaEngine.get_tensor_name",
        "ICudaEngine.get_tensor_profile_shape",
        "EngineInspector.get_engine_information",
        "LayerInformationFormat.JSON",
        "IRuntimeConfig.dynamic_shapes_kernel_specialization_strategy",
        "DynamicShapesKernelSpecializationStrategy.EAGER",
        "IRuntimeConfig.create_runtime_cache",
        "IRuntimeConfig.set_runtime_cache",
        "IRuntimeCache.deserialize",
        "IRuntimeCache.serialize",
        "IExecutionContext.execute_async_v3",
        "IExecutionContext.get_tensor_shape",
        "IExecutionContext.set_input_shape",
        "IExecutionContext.set_tensor_address",
        "nptype",
    ],
)
def test_what_running_calls_is_there(name: str) -> None:
    """Without a GPU nothing calls it; a version of TensorRT-RTX that renames it is to show all the same."""
    trt = pytest.importorskip("tensorrt_rtx", reason="the extra tensorrt-rtx isn't installed")
    assert attrgetter(name)(trt)
