"""One artifact, made once; tests that change it take a copy."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hwnas.artifacts import check, check_file
from hwnas.artifacts.bundle import Artifact, rendered
from hwnas.artifacts.export import export_network
from hwnas.data.load import Data, load_data
from hwnas.nn.inherit import inherit
from hwnas.nn.network import Network
from hwnas.nn.supernet import Supernet
from hwnas.records.artifact import ArtifactRecord, ExportedFile, Finding
from hwnas.records.model import ModelInfo, OnDevice, Searched
from hwnas.space.registry import get_space
from tests.conftest import SMALL_SPACE
from tests.nn.weights import lived_in


@dataclass(frozen=True)
class Shipped:
    """An artifact and what it was made of; read only."""

    path: Path
    network: Network
    info: ModelInfo
    data: Data


@dataclass(frozen=True)
class Copy:
    """An artifact to be damaged."""

    path: Path

    @property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / "manifest.json").read_text())
        return found

    def edit(self, change: Callable[[dict[str, Any]], object]) -> None:
        manifest = self.manifest
        change(manifest)
        (self.path / "manifest.json").write_text(json.dumps(manifest))

    def replace(self, name: str, content: bytes) -> None:
        """Another content, and a manifest that vouches for it, as a forger would."""
        before = (self.path / name).stat().st_size
        (self.path / name).write_bytes(content)

        def vouch(manifest: dict[str, Any]) -> None:
            manifest["sha256"][name] = hashlib.sha256(content).hexdigest()
            for file in manifest["files"]:
                file["bytes"] += len(content) - before if name in file["files"] else 0

        self.edit(vouch)

    def rewrite(self) -> None:
        """All that follows from the manifest, anew: as a thorough forger would."""
        found = Artifact(self.path, ArtifactRecord.read(self.path / "manifest.json"))
        for name, content in rendered(found.manifest, found.preprocessing, found.labels).items():
            self.replace(name, content)


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    root = tmp_path_factory.mktemp("shipped")
    (root / "small.yaml").write_text(SMALL_SPACE)
    space = get_space(str(root / "small.yaml"))
    network = inherit(lived_in(Supernet(space.inheriting())), [0, 3, 1, 2, 4, 1]).eval()
    data = load_data("digits", 16)
    info = ModelInfo(
        data="digits", labels=data.classes, preprocessing=data.preprocessing, accuracy={"test": 0.9},
        made_from={"supernet": "run", "supernet_sha256": "0" * 64},
        searched=Searched(
            strategy="nsga2", evaluations=12, seed=0,
            devices=(
                OnDevice(
                    table="table.yaml", device="a board", budget_ms=2.0, predicted_ms=1.5, low_ms=1.4, high_ms=1.6,
                    measured_ms=None,
                ),
            ),
        ),
        weights_sha256="1" * 64,
    )  # fmt: skip
    network.info = info
    artifact = export_network(network, ["onnx-fp32", "openvino-fp32"], root / "artifact", images=data.test_images(64))
    (root / "small.yaml").unlink()  # an artifact doesn't need it any more
    return Shipped(artifact.path, network, info, data)


@pytest.fixture
def copy(shipped: Shipped, tmp_path: Path) -> Copy:
    return Copy(Path(shutil.copytree(shipped.path, tmp_path / "copy")))


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are checked here, which is quicker than in a process of their own, and as thorough."""

    def check_files(
        artifact: Artifact, files: Sequence[ExportedFile], trusted: bool, _: int
    ) -> Iterator[tuple[Finding, ...]]:
        return (check_file.check_file(artifact, file, trusted) for file in files)

    monkeypatch.setattr(check, "check_files", check_files)
