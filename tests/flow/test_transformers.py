"""A space of transformers from a table to a report, and its networks in every precision that can be had here."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest
import yaml

import hwnas
from hwnas.artifacts.check import check_artifact
from hwnas.shipped import shipped
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space

SPACE = """
    {name: tokens, resolution: 16, classes: 10, stem: {kind: patches, c_out: 16, patch: 4, token: true},
     stages: [{layers: 1, block: {kind: transformer, heads: [1, 2], head_width: 8, mlp_ratio: 2}},
              {layers: 2, block: {kind: transformer, heads: [1, 2], head_width: 8, mlp_ratio: 2}, skip: true}],
     head: {kind: token-head, token: true}}"""
LAYERS = 1 + 2 * 6 + 1  # with weights, in a network of two blocks


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ChainSpace:
    monkeypatch.chdir(tmp_path)
    Path("tokens.yaml").write_text(SPACE)
    return get_space("tokens.yaml")


def test_from_profile_to_report(space: ChainSpace) -> None:
    table = hwnas.profile(space, networks=4, seconds=1, output="table.yaml")
    assert [op.kind for op in table.ops] == ["patches", "transformer", "transformer", "token-head"]
    learner = hwnas.SupernetConfig(space="tokens.yaml")
    config = hwnas.TrainConfig(
        data="digits", epochs=1, batch=256, augment="none", threads=1, optimizer="adamw", learner=learner
    )
    run = hwnas.train(config, "run")
    found = hwnas.search(run, tables=[(table, 100.0)], evaluations=8, output="search")
    assert found.winner is not None
    hwnas.derive(found.winner, run, output="model")
    artifact = hwnas.export("model", targets=["onnx-fp32", "openvino-fp32"], output="artifact")
    assert check_artifact(artifact.path).passed
    effort = hwnas.Effort(at_least_s=0.1, at_most_s=0.5)
    rows = hwnas.bench(artifact, table=table, effort=effort).results
    assert [row.target for row in rows if row.predicted_ms is not None] == ["onnx-fp32"]
    page = hwnas.report(found, artifact=artifact, output="report.html").read_text("utf-8")
    assert "transformer, " in page


@pytest.mark.parametrize(
    ("name", "precisions"),
    [
        ("onnx-fp16", {"fp16": LAYERS}),
        ("onnx-int8-cpu", {"int8": LAYERS}),
        ("onnx-int8-tensorrt", {"int8": LAYERS}),
        ("openvino-fp32", {"fp32": LAYERS}),
        ("openvino-int8", {"int8": LAYERS}),
        ("tensorrt-rtx-fp16", {"fp16": LAYERS}),
        ("tensorrt-rtx-int8", {"int8": LAYERS}),
    ],
)
def test_in_every_precision(space: ChainSpace, name: str, precisions: dict[str, int]) -> None:
    """Exported, and so held against PyTorch and the arch."""
    if name.startswith("tensorrt"):
        pytest.importorskip("tensorrt_rtx")
    said = yaml.safe_load(shipped("export", "targets", f"{name}.yaml").read_text())
    if said["precision"] == "int8":
        said["quantization"] = {"images": 32, "keep_float": []}  # else a few combinations are timed
    Path(f"own-{name}.yaml").write_text(yaml.safe_dump(said))
    hwnas.derive(hwnas.Arch(space, (0, 2, 1)), output="model")
    artifact = hwnas.export("model", targets=[f"own-{name}.yaml"], output="artifact", data="digits")
    (file,) = artifact.manifest.files
    assert file.precisions == precisions


def test_attention_stays_float_in_int8(space: ChainSpace) -> None:
    said = yaml.safe_load(shipped("export", "targets", "onnx-int8-cpu.yaml").read_text())
    Path("own.yaml").write_text(yaml.safe_dump({**said, "quantization": {"images": 32, "keep_float": []}}))
    hwnas.derive(hwnas.Arch(space, (0, 2, 1)), output="model")
    hwnas.export("model", targets=["own.yaml"], output="artifact", data="digits")
    graph = onnx.load("artifact/own.onnx").graph
    makers = {node.output[0]: node for node in graph.node}
    sources = Counter(
        tuple(makers[name].op_type == "DequantizeLinear" for name in node.input)
        for node in graph.node
        if node.op_type == "MatMul"
    )
    assert sources == {(True, True): 2 * 6, (False, False): 2 * 2}
