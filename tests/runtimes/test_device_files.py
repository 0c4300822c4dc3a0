"""What goes to devices that have an old Python and little else: syntax, library and imports of those files."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
import vermin

import hwnas.arrays
import hwnas.errors
import hwnas.onnx.stand_in
import hwnas.onnx.wire
import hwnas.runtimes.base

_RUNTIMES = Path(hwnas.runtimes.base.__file__).parent
FILES = [Path(m.__file__) for m in (hwnas.arrays, hwnas.errors, hwnas.onnx.stand_in, hwnas.onnx.wire)]
FILES += [_RUNTIMES / f"{name}.py" for name in ("base", "onnxruntime", "openvino")]
_OURS = {"hwnas.arrays", "hwnas.errors", "hwnas.onnx.stand_in", "hwnas.onnx.wire", "hwnas.runtimes.base"}
_THEIRS = {"numpy", "onnxruntime", "openvino"}
_ON_THE_HOST = {
    "hwnas.onnx.kernels", "hwnas.onnx.observe", "hwnas.onnx.precision.half", "hwnas.onnx.precision.int8",
    "hwnas.runtimes.openvino_kernels", "hwnas.runtimes.openvino_observe", "onnx",
}  # fmt: skip
"""Imported inside ``prepare``, ``kernels`` and ``observe``, which run where hwnas is."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_python_3_8(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 8))
    config = vermin.Config()
    least = vermin.visit(path.read_text(), config).minimum_versions()[1]
    assert least is not None
    assert least <= (3, 8)


def test_vermin_sees_what_is_newer() -> None:
    newer = vermin.visit("import math\nmath.cbrt(8)\nzip([1], [2], strict=True)\n", vermin.Config())
    assert newer.minimum_versions()[1] > (3, 8)


def _run_time_imports(node: ast.AST) -> list[tuple[str, bool]]:
    """(module, whether inside a function) of each import that isn't for type checkers only."""
    found: list[tuple[str, bool]] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            found += [(alias.name, False) for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            found.append((child.module or "", False))
        else:
            inside = isinstance(child, ast.FunctionDef)
            found += [(name, inside or deep) for name, deep in _run_time_imports(child)]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_imports(path: Path) -> None:
    for module, in_function in _run_time_imports(ast.parse(path.read_text())):
        known = module.split(".")[0] in sys.stdlib_module_names | _THEIRS or module in _OURS
        assert known or (in_function and module in _ON_THE_HOST), f"{path.name} imports {module}"
