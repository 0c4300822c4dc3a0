"""One small network, exported once for all tests of deployment."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwnas.artifacts.bundle import Artifact
from hwnas.artifacts.export import export_network
from hwnas.nn.inherit import inherit
from hwnas.nn.network import Network
from hwnas.nn.supernet import Supernet
from hwnas.records.model import ModelInfo
from hwnas.space.registry import get_space
from tests.conftest import SMALL_SPACE
from tests.nn.weights import lived_in

LABELS = tuple(f"class {i}" for i in range(10))


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Artifact]:
    """A network and its artifact: ONNX, and OpenVINO's IR for up to 8 images."""
    folder = tmp_path_factory.mktemp("deploy")
    (folder / "small.yaml").write_text(SMALL_SPACE)
    ir = (Path(__file__).parents[2] / "export" / "targets" / "openvino-fp32.yaml").read_text()
    (folder / "openvino-up-to-8.yaml").write_text(f"{ir}\nbatch: {{min: 1, opt: 4, max: 8}}\n")
    network = inherit(lived_in(Supernet(get_space(str(folder / "small.yaml")).inheriting())), [0, 3, 1, 2, 4, 1]).eval()
    targets = ["onnx-fp32", str(folder / "openvino-up-to-8.yaml")]
    network.info = ModelInfo(labels=LABELS)
    return network, export_network(network, targets, folder / "small")
