"""Peak memory: a process of its own really holds what a file needs, and dies in place of this one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwnas.arrays import Port
from hwnas.artifacts import process_memory
from hwnas.artifacts.process_memory import peak_memory_mb
from hwnas.errors import ModelError
from hwnas.records.target import get_target
from tests.artifacts.faults import crashing

CHW = (1, 10, 10)
TARGET = get_target("onnx-fp32")
linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system doesn't tell")


def linear(outputs: int) -> dict[str, bytes]:
    """A model whose weights take 400 bytes an output, each different from page to page."""
    weight = np.random.default_rng(0).standard_normal((outputs, 100), dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("Gemm", ["flat", "w"], ["y"], transB=1)],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *CHW])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", outputs])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return {".onnx": model.SerializeToString()}


def feed(batch: int) -> tuple[Port, ...]:
    return (Port("x", "float32", (batch, *CHW)),)


def peak_mb(outputs: int, batch: int = 1, runtime: str = "onnxruntime") -> float:
    found = peak_memory_mb(linear(outputs), TARGET.model_copy(update={"runtime": runtime}), feed(batch))
    assert found is not None
    return found


@linux
def test_weights_and_activations_are_counted() -> None:
    small = peak_mb(10)
    assert 0 < small < 30
    assert 40 < peak_mb(100_000) - small < 4 * 40 + 10  # 40 MB of weights: as parsed, as initializers, reordered
    assert 40 < peak_mb(10_000, batch=1000) - small < 2 * 44 + 10  # 40 MB of outputs, 4 MB of weights


@linux
def test_what_runs_on_another_runtime_is_counted_there() -> None:
    assert peak_mb(100_000, runtime="openvino") - peak_mb(10, runtime="openvino") > 40


def test_nothing_is_known_of_a_file_that_fails_nor_where_the_system_doesnt_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert peak_memory_mb({".onnx": b"garbage"}, TARGET, feed(1)) is None
    monkeypatch.setattr(process_memory, "_STATUS", tmp_path / "absent")
    assert peak_memory_mb(linear(10), TARGET, feed(1)) is None


@linux
def test_a_crash_stays_in_its_own_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crashing("onnxruntime", tmp_path, monkeypatch)
    with pytest.raises(ModelError, match="SIGSEGV"):
        peak_memory_mb(linear(10), TARGET, feed(1))


@linux
def test_what_takes_too_long_is_not_loaded_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_memory, "_LIMIT_S", 0.01)
    with pytest.raises(ModelError, match=r"takes longer than 0\.01 s"):
        peak_memory_mb(linear(10), TARGET, feed(1))


def test_the_process_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    peak_memory_mb(linear(10), TARGET, feed(1))
    assert list(tmp_path.glob("tmp*")) == []  # ONNX Runtime keeps a file of its own there


def test_the_models_of_these_tests_are_models() -> None:
    onnx.checker.check_model(onnx.load_from_string(linear(10)[".onnx"]))
