"""Kernels that end the process they run in: real ones, on the real runtime."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hwnas.graph.kernel import Kernel, KernelNode, Value
from hwnas.profiling.local import conditions_of
from hwnas.profiling.trial import not_to_be_run
from hwnas.runtimes.onnxruntime import OnnxRuntime
from hwnas.tables.device import Conditions
from tests.tables.make_kernels import kernel

CRASHING = """
import os
import signal

from hwnas.runtimes.onnxruntime import OnnxRuntime


class Crashing(OnnxRuntime):
    name = "crashing"

    def load(self, model, **how):
        if b"Tanh" in model:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().load(model, **how)
"""


@pytest.fixture
def crashing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Conditions:
    """A runtime of an installed package that ends the process over some kernels."""
    (tmp_path / "crashing.py").write_text(CRASHING)
    (tmp_path / "crashing-1.0.dist-info").mkdir()
    (tmp_path / "crashing-1.0.dist-info" / "METADATA").write_text("Name: crashing\nVersion: 1.0\n")
    points = "[hwnas.runtimes]\ncrashing = crashing:Crashing\n"
    (tmp_path / "crashing-1.0.dist-info" / "entry_points.txt").write_text(points)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return conditions_of(OnnxRuntime()).model_copy(update={"runtime": "crashing"})


def endless() -> Kernel:
    """A matrix product of minutes."""
    square = Value(dtype="float64", shape=(6000, 6000))
    return Kernel(
        opset=17,
        nodes=(
            KernelNode(op="MatMul", inputs=(0, 0), outputs=(1,)),
            KernelNode(op="MatMul", inputs=(1, 0), outputs=(2,)),
        ),
        values=(square, square, square),
        outputs=(2,),
    )


def test_what_crashes_is_named_and_the_rest_is_tried(crashing: Conditions) -> None:
    harmful = [kernel("Tanh"), kernel("Tanh", size=9)]
    tried = [kernel("Relu"), harmful[0], kernel("Nonsense"), harmful[1], kernel("Conv")]
    found = not_to_be_run(tried, crashing)
    assert found == {each.key: "the process that runs it ends with SIGSEGV" for each in harmful}


def test_what_hangs_is_named() -> None:
    found = not_to_be_run([endless(), kernel("Relu")], conditions_of(OnnxRuntime()), limit_s=5)
    assert found == {endless().key: "the process that runs it takes longer than 5 s"}


def test_a_process_that_nobody_watches_any_more_ends() -> None:
    """As when a kit was killed while a kernel of its hung."""
    code = (
        "import time; from hwnas.profiling import isolated; from hwnas.runtimes.onnxruntime import OnnxRuntime; "
        "isolated.LIMIT_S = 0.5; "
        "isolated.run_each([lambda: time.sleep(60)], OnnxRuntime(), threads=1, precision='fp32')"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGALRM


def test_nothing_starts_for_nothing() -> None:
    assert not_to_be_run([], conditions_of(OnnxRuntime())) == {}
