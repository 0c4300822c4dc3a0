"""Nothing is left in the home folder or the folder for temporary files: not by hwnas, not by what it runs on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys

from hwnas.artifacts.export import export_network
from hwnas.nn.network import Network
from hwnas.space.registry import get_space
from hwnas.training.config import TrainConfig
from hwnas.training.optimizer import make_optimizer

network = Network(get_space("macro-w8", 16, 10), [0] * 8)
make_optimizer(TrainConfig(data="digits"), [[network]])
export_network(network, ["onnx-fp32", "openvino-fp32"], sys.argv[1])
"""


def _run(command: list[str | Path], root: Path) -> None:
    """In a fresh process whose home and temporary folder are ``root``; OpenVINO keeps quiet in CI by itself."""
    quiet = ("CI", "TF_BUILD", "JENKINS_URL", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in quiet}
    environment |= {"HOME": str(root / "home"), "TMPDIR": str(root / "temporary")}
    for name in ("home", "temporary"):
        (root / name).mkdir(exist_ok=True)
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert [path for name in ("home", "temporary") for path in (root / name).rglob("*")] == []


def test_exports_and_checks_and_trainings_leave_nothing(tmp_path: Path) -> None:
    _run([sys.executable, "-c", SCRIPT, tmp_path / "artifact"], tmp_path)
    _run([sys.executable, "-m", "hwnas", "artifact", "check", tmp_path / "artifact"], tmp_path)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_runtimes_of_kits_leave_nothing(tmp_path: Path, runtime: str) -> None:
    _run([sys.executable, "-c", f"import hwnas.runtimes.{runtime}"], tmp_path)
