"""What tests share: where real data may lie, and a small space that everything runs on in seconds."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space

_MADE_ONCE = {
    "flow": "flow",
    "shipped": "shipped",
    "artifact": "artifact",
    "device": "ssh",  # its folder of kits, in the home of whoever runs the tests, is one as well
    "supernet_run": "supernet_run",
    "finished_run": "finished_run",
    "whole": "whole",
    "together": "distributed",
    "alone": "distributed",
    "root": "rank",
    "kit": "kit",
    "world": "world",
    "exported": "exported",
    "resnet": "resnet",
    "bottlenecks": "bottlenecks",
    "widths": "widths",
    "never_killed": "never_killed",
}
"""Fixtures that take seconds to make -> the group of tests that run in one process, so that it is made once."""

_DATA = Path(__file__).parents[2] / "shared" / "data"

SMALL_SPACE = """
name: small
resolution: 16
classes: 10
act: hswish
kernels: [3, 5]
expansions: [2]
se: [false, true]
skip: true
stem: {width: 8, c_out: 8, stride: 2, separable: true, act: relu6}
stages:
  - {c_out: 8, layers: 2, stride: 1}
  - {c_out: 12, layers: 4, stride: 2}
head: {width: 24, act: relu6}
"""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        groups = [_MADE_ONCE[name] for name in getattr(item, "fixturenames", ()) if name in _MADE_ONCE]
        if groups and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(groups[0]))


@pytest.fixture(scope="session", autouse=True)
def _done_here() -> Iterator[None]:
    """Shapes are inferred in this process, and exports tell its memory, but for tests of the processes that do so."""
    if not {"hwnas.onnx.model", "hwnas.artifacts.beside_fp32"} & sys.modules.keys():
        yield  # and nothing heavy is loaded
        return
    from tests.here import memory_here, shapes_here

    with pytest.MonkeyPatch.context() as patch:
        if model := sys.modules.get("hwnas.onnx.model"):
            patch.setattr(model, "shape_inference", shapes_here)
        if beside_fp32 := sys.modules.get("hwnas.artifacts.beside_fp32"):
            patch.setattr(beside_fp32, "peak_memory_mb", memory_here)
        yield


@pytest.fixture
def shapes_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes are inferred in a process of their own, as people have it."""
    from hwnas.onnx.infer import shape_inference

    monkeypatch.setattr("hwnas.onnx.model.shape_inference", shape_inference)


@pytest.fixture
def small_yaml(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL_SPACE)
    return path


@pytest.fixture
def small_space(small_yaml: Path) -> ChainSpace:
    """6 layers, the first with a residual (its input has 8 channels as well), so every rule of folding occurs."""
    return get_space(str(small_yaml))


@pytest.fixture
def shared_data() -> Path:
    """Real data beside the checkout, where there is any."""
    if not _DATA.is_dir():
        pytest.skip("no shared data beside the checkout")
    return _DATA


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """Puts a tool in front of the driver's that says what it is given: name, capability; or that there is no GPU."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)  # which is asked where the tool tells nothing

    def says(line: str | None) -> None:
        tool = folder / "nvidia-smi"
        tool.write_text("#!/bin/sh\nexit 9\n" if line is None else f"#!/bin/sh\necho '{line}'\n")
        tool.chmod(0o755)

    return says
