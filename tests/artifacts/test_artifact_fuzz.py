"""Damaged manifests, targets and sidecars: a typed error of one line each, or what can be trusted; no writes."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hwnas.artifacts.bundle import load_artifact
from hwnas.artifacts.formats.base import get_format
from hwnas.artifacts.formats.engine_sidecar import read_sidecar
from hwnas.files import to_json
from hwnas.nn.model_folder import load_model, save_model
from hwnas.nn.network import Network
from hwnas.onnx.precision.half import to_half
from hwnas.records.artifact import ArtifactRecord
from hwnas.records.network import OfArch
from hwnas.records.target import get_target
from hwnas.space.registry import get_space
from tests.artifacts.conftest import Shipped
from tests.fuzzing import EXAMPLES, FUZZ, ODD, damage, mutate, one_line_or_nothing
from tests.onnx_models import onnx_of


@dataclass(frozen=True)
class Kind:
    """One kind of file: a valid text, where it lies, and who reads it."""

    path: Path
    text: str
    read: Callable[[], object]

    @property
    def plain(self) -> dict[str, Any]:
        loaded = json.loads(self.text) if self.path.suffix == ".json" else yaml.safe_load(self.text)
        assert isinstance(loaded, dict)
        return loaded

    def given(self, content: bytes) -> bool:
        """Read it with another content: whether it was taken."""
        self.path.write_bytes(content)
        taken = False
        with one_line_or_nothing():
            self.read()
            taken = True
        return taken


@pytest.fixture(scope="session")
def kinds(shipped: Shipped, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kind]:
    root = tmp_path_factory.mktemp("fuzz")
    folder = Path(shutil.copytree(shipped.path, root / "artifact"))
    network = Network(get_space("macro-w8", 16, 10), [0, 1, 2, 0, 1, 2, 0, 1])
    save_model(network, root / "model")
    target = root / "target.yaml"
    target.write_text(
        "schema: hwnas-target/1\nformat: onnx\nprecision: int8\nopset: 20\nir_version: 10\n"
        "batch: {min: 1, opt: 2, max: 4}\nruntime: onnxruntime\noptions: {provider: cpu}\n"
        "quantization: {images: 10, keep_float: [se]}\ntolerance: {relative: 0.1, cosine: 0.9, top1: 0.9}\n"
    )

    sidecar = root / "engine.json"
    rtx = get_target("tensorrt-rtx-fp16")
    graph = to_half(onnx_of(nn.Flatten(), (3, 4, 4)))
    sidecar.write_bytes(get_format("tensorrt-rtx").write(graph, rtx)[".json"])

    def manifest() -> None:
        """All that ``bench`` does before it loads a file; what was taken can be written as JSON."""
        artifact = load_artifact(folder)
        _ = artifact.arch
        for file in artifact.manifest.files:
            artifact.read(file)
            get_format(file.settings.format).runtime(file.settings)
        to_json(artifact.manifest.plain()).encode()

    found = {
        "manifest": Kind(folder / "manifest.json", (folder / "manifest.json").read_text(), manifest),
        "target": Kind(target, target.read_text(), lambda: get_target(str(target))),
        "model": Kind(
            root / "model" / "model.json",
            (root / "model" / "model.json").read_text(),
            lambda: load_model(root / "model"),
        ),
        "sidecar": Kind(sidecar, sidecar.read_text(), lambda: read_sidecar(sidecar.read_bytes(), "sidecar")),
    }
    for kind in found.values():
        assert kind.given(kind.text.encode())
        kind.path.write_text(kind.text)
    return found


@pytest.fixture(autouse=True)
def nothing_else_changes(kinds: dict[str, Kind]) -> Any:
    """Whatever is read, no file appears or goes."""
    root = kinds["target"].path.parent
    before = sorted(root.rglob("*"))
    yield
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize("name", ["manifest", "target", "sidecar", "model"])
def test_edited(kinds: dict[str, Kind], name: str) -> None:
    kind, taken = kinds[name], []

    @settings(FUZZ, max_examples=EXAMPLES)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        changed = mutate(data.draw, kind.plain)  # type: ignore[arg-type]
        text = json.dumps(changed) if kind.path.suffix == ".json" else yaml.safe_dump(changed)
        taken.append(kind.given(text.encode("utf-8", "surrogatepass")))

    run()
    assert False in taken  # it isn't that everything passes
    kind.path.write_text(kind.text)


@pytest.mark.parametrize("name", ["manifest", "target", "sidecar", "model"])
def test_damaged(kinds: dict[str, Kind], name: str) -> None:
    kind = kinds[name]

    @settings(FUZZ, max_examples=EXAMPLES)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        kind.given(damage(data.draw, kind.text.encode()))  # type: ignore[arg-type]

    run()
    kind.path.write_text(kind.text)


@pytest.mark.parametrize(
    "keys",
    [
        ["network"], ["sha256"], ["files"], ["searched"], ["made_from"], ["network", "space"], ["network", "choices"],
        ["network", "input_chw"], ["network", "stabilizers"], ["network", "kind"],
    ],
    ids=".".join,
)  # fmt: skip
def test_every_odd_value(kinds: dict[str, Kind], keys: list[str]) -> None:
    kind, (*outer, key) = kinds["manifest"], keys

    def inside(plain: Any) -> Any:
        for each in outer:
            plain = plain[each]
        return plain

    @settings(FUZZ, max_examples=EXAMPLES // 3)
    @given(ODD)
    def run(odd: Any) -> None:
        changed = copy.deepcopy(kind.plain)
        inside(changed)[key] = odd
        kind.given(json.dumps(changed).encode("utf-8", "surrogatepass"))
        changed = copy.deepcopy(kind.plain)
        if isinstance(inside(changed)[key], dict):
            inside(changed)[key][next(iter(inside(changed)[key]))] = odd
            kind.given(json.dumps(changed).encode("utf-8", "surrogatepass"))

    run()
    kind.path.write_text(kind.text)


def test_the_manifest_alone_says_enough(kinds: dict[str, Kind]) -> None:
    network = ArtifactRecord.read(kinds["manifest"].path).network
    assert isinstance(network, OfArch)
    assert network.space.definition is not None
