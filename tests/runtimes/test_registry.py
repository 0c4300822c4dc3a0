"""Asking for runtimes by name: options, what isn't there, and one that an installed package adds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hwnas.errors import ConfigError, RuntimeMissingError
from hwnas.runtimes.registry import RUNTIMES, get_runtime

BUILT_IN = ("onnxruntime", "openvino", "torch", "tensorrt", "tensorrt-rtx")


def test_names() -> None:
    assert RUNTIMES.names()[: len(BUILT_IN)] == BUILT_IN
    with pytest.raises(RuntimeMissingError, match="no runtime 'tvm'; known: onnxruntime, openvino, torch"):
        get_runtime("tvm")


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("onnxruntime", {"provider": "cpu", "optimization": "all"}),
        ("openvino", {"streams": "1"}),
        ("torch", {"mode": "eager", "device": "cpu"}),
    ],
)
def test_options_in_force(name: str, defaults: dict[str, str]) -> None:
    assert get_runtime(name).name == name
    assert get_runtime(name).options == get_runtime(name, {}).options == defaults
    option = next(iter(defaults))
    with pytest.raises(ConfigError, match=f"runtime {name} has no option 'colour'; it has {', '.join(defaults)}"):
        get_runtime(name, {"colour": "red"})
    with pytest.raises(ConfigError, match=f"option {option} of runtime {name} is one of .*, not 'none such'"):
        get_runtime(name, {option: "none such"})


@pytest.mark.parametrize(("name", "module"), [("openvino", "openvino"), ("tensorrt-rtx", "tensorrt_rtx")])
def test_a_missing_or_broken_library_is_one_line(name: str, module: str, tmp_path: Path) -> None:
    """In a fresh process, in front of the real library: a package whose import fails as a broken install's does."""
    (tmp_path / f"{module}.py").write_text("raise OSError('libsomething.so.1: cannot open shared object\\nmore')")
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from hwnas.errors import RuntimeMissingError
from hwnas.runtimes.registry import get_runtime
try:
    get_runtime({name!r})
except RuntimeMissingError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    (line,) = told.splitlines()
    assert line.startswith(f"runtime {name} isn't usable (libsomething.so.1: cannot open shared object); ")
    assert f"pip install 'hwnas[{name}]'" in line


PLUGIN = '''
"""Outside hwnas: the reference implementation of ONNX as a runtime."""
import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from hwnas.errors import ModelError
from hwnas.runtimes.base import check_precision, options_in_force
from hwnas.onnx.wire import check_self_contained


class Reference:
    name = "reference"
    precisions = ("fp32",)
    runs_as_is = False

    def __init__(self, options=None):
        self.options = options_in_force(self.name, {"colour": ("green", "blue")}, options)

    def version(self):
        return onnx.__version__

    def accelerator(self):
        return None

    def prepare(self, model, precision):
        check_precision(self, precision)
        return model

    def kernels(self, model, precision):
        raise ModelError("it doesn't tell what it launches")

    def load(self, model, *, threads, precision, as_is=False):
        check_precision(self, precision)
        check_self_contained(model)
        try:
            proto = onnx.load_from_string(model)
            onnx.checker.check_model(proto)
        except Exception as error:
            raise ModelError("not a model") from None
        return Session(ReferenceEvaluator(proto))


class Session:
    def __init__(self, evaluator):
        self._evaluator = evaluator

    def run(self, inputs):
        return tuple(self._evaluator.run(None, {"images": inputs[0]}))

    def bind(self, inputs):
        def call():
            self.run(inputs)
        return call
'''

PLUGINS_TESTS = """
import pytest

from hwnas.runtimes.registry import RUNTIMES, get_runtime
from hwnas.testing import RuntimeContract


class TestReference(RuntimeContract):
    @pytest.fixture
    def runtime(self):
        return get_runtime("reference")


def test_registered():
    assert "reference" in RUNTIMES.names()
    assert get_runtime("reference", {"colour": "blue"}).options == {"colour": "blue"}
"""


def test_a_package_from_outside(tmp_path: Path) -> None:
    """Installed as pip would (a module and its dist-info), found by its entry point, held to the contract."""
    (tmp_path / "site" / "reference_runtime-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "site" / "reference_runtime.py").write_text(PLUGIN)
    info = tmp_path / "site" / "reference_runtime-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: reference-runtime\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hwnas.runtimes]\nreference = reference_runtime:Reference\n")
    (tmp_path / "test_reference.py").write_text(PLUGINS_TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "pythonpath=site", "test_reference.py"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
