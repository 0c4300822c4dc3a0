"""Artifacts whose targets are chosen freely: one real export, and the same files said to be for other runtimes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwnas.artifacts.bundle import Artifact, load_artifact
from hwnas.files import to_json

SUFFIXES = {"onnx": (".onnx",), "openvino": (".xml", ".bin"), "tensorrt": (".engine", ".json")}


def retargeted(artifact: Artifact, folder: Path, settings: Mapping[str, Mapping[str, Any]]) -> Artifact:
    """A copy of an artifact's first file for each {target: settings that differ}; its bytes stay what they are."""
    manifest = json.loads((artifact.path / "manifest.json").read_text())
    targets = {name for file in manifest["files"] for name in file["files"]}
    contents = {name: (artifact.path / name).read_bytes() for name in manifest["sha256"] if name not in targets}
    first = manifest["files"][0]
    data = (artifact.path / first["files"][0]).read_bytes()
    manifest["files"] = []
    for target, different in settings.items():
        changed = {**first["settings"], **different, "name": target}
        names = [target + suffix for suffix in SUFFIXES.get(changed["format"], (".bin",))]
        manifest["files"].append({**first, "target": target, "settings": changed, "files": names})
        contents |= dict.fromkeys(names, data)
    manifest["sha256"] = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "manifest.json").write_text(to_json(manifest))
    return load_artifact(folder)
