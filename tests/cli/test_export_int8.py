"""`hwnas export` to int8: what is told, and to whom."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from hwnas.artifacts.bundle import ExportedFile, load_artifact
from tests.cli.conftest import Flow
from tests.cli.run import Shell

TARGET = """
schema: hwnas-target/1
format: onnx
precision: int8
runtime: onnxruntime
quantization: {images: 64, keep_float: [last]}
tolerance: {relative: 0.9, cosine: 0.5, sqnr_db: 3, top1: 0.5, accuracy_points: 20}
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "small-int8.yaml"
    path.write_text(TARGET)
    return path


def test_pointless_is_told_loudly(
    hwnas: Shell, flow: Flow, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ExportedFile, "pointless", property(lambda file: True))
    told = hwnas("export", flow.model, "--target", target, "-o", tmp_path / "a")
    assert told.status == 0
    assert "POINTLESS here" in told.out
    assert "POINTLESS here: small-int8 is slower" in told.err
    assert "  kept in float: last, as asked" in told.out.splitlines()
    as_json = hwnas("export", flow.model, "--target", target, "-o", tmp_path / "b", "--json")
    assert as_json.json["pointless"] == ["small-int8"]
    assert as_json.json["notes"]["small-int8"] == [
        "activation ranges by mse from 64 images", "kept in float: last, as asked",
    ]  # fmt: skip


def test_slower_than_fp32_is_pointless(hwnas: Shell, flow: Flow, target: Path, tmp_path: Path) -> None:
    assert "fp32 " in hwnas("export", flow.model, "--target", target, "-o", tmp_path / "a").out
    (file,) = load_artifact(tmp_path / "a").manifest.files
    assert file.latency is not None
    for fp32_ms, pointless in ((file.latency.p50_ms * 0.9, True), (file.latency.p50_ms * 1.1, False), (None, False)):
        assert file.model_copy(update={"fp32_ms": fp32_ms}).pointless == pointless


def test_images_of_one_colour_calibrate_nothing(hwnas: Shell, flow: Flow, target: Path, tmp_path: Path) -> None:
    for part in ("train", "test"):
        for label in range(10):
            folder = tmp_path / "grey" / part / str(label)
            folder.mkdir(parents=True)
            for number in range(2):
                Image.new("RGB", (16, 16), (label * 10, 90, 90)).save(folder / f"{number}.png")
    told = hwnas.refused("export", flow.model, "--data", tmp_path / "grey", "--target", target, "-o", tmp_path / "a")
    assert "of one colour" in told
    assert not (tmp_path / "a").exists()
