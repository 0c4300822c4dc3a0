"""One small kit and one bare Python for all tests of kits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hwnas.profiling.kit import Kit
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space
from tests.profiling.kits import make_device, small_kit
from tests.profiling.ssh_server import Server, running_server


@pytest.fixture(scope="session")
def tiny() -> ChainSpace:
    return get_space("scarlet-tiny", resolution=32)


@pytest.fixture(scope="session")
def kit(tiny: ChainSpace) -> Kit:
    return small_kit(tiny)


@pytest.fixture(scope="session")
def kit_path(kit: Kit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("a stick") / "kit.pyz"  # with a space in its path
    path.write_bytes(kit.data)
    return path


@pytest.fixture(scope="session")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has numpy and ONNX Runtime and nothing else."""
    return make_device(tmp_path_factory.mktemp("device") / "venv", "numpy", "onnxruntime")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("ssh")) as found:
        yield found
