"""Images that contradict the model, and refusals that name their cause."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hwnas.artifacts.doubts import contradicted, doubts_of
from hwnas.artifacts.export import export_network
from hwnas.artifacts.parity import logits_of, random_textures
from hwnas.errors import ParityError
from hwnas.nn.network import Network
from hwnas.records.model import ModelInfo
from hwnas.records.target import get_target
from hwnas.space.chain import ChainSpace
from tests.artifacts.evidence import of_images

CHW = (3, 16, 16)
INT8 = """
schema: hwnas-target/1
format: onnx
precision: int8
runtime: onnxruntime
quantization: {images: 256, keep_float: []}
tolerance: {relative: 0.9, cosine: 0.5, sqnr_db: 3, top1: 0.5, accuracy_points: 20}
"""


@pytest.fixture(autouse=True)
def _briefly_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.artifacts.beside_fp32._SECONDS_PER_FILE", 0.05)


@pytest.fixture
def network(small_space: ChainSpace) -> Network:
    return Network(small_space, [1] * small_space.num_layers).eval()


@pytest.fixture
def int8(tmp_path: Path) -> str:
    path = tmp_path / "int8.yaml"
    path.write_text(INT8)
    return str(path)


@pytest.mark.parametrize(
    ("before", "recorded", "images", "told"),
    [
        (0.0, 0.9833, 360, True),  # labels shuffled
        (0.0472, 0.9833, 360, True),  # images inverted
        (0.1, 0.9833, 10, True),
        (0.9833, 0.9833, 360, False),
        (0.95, 0.9833, 360, False),  # other images of the same classes
        (0.7, 0.9833, 10, False),  # seven of ten: chance
        (0.5, 0.0, 360, False),
        (0.9, 1.0, 4096, True),
        (0.94, 1.0, 4096, True),
        (0.96, 1.0, 4096, False),
    ],
)
def test_images_that_contradict_the_model(before: float, recorded: float, images: int, told: bool) -> None:
    assert (contradicted(before, recorded, images) is not None) == told


def test_labels_of_another_order_are_told_and_noted(
    network: Network, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = random_textures(64, CHW)
    right = logits_of(network, images).argmax(1).astype(np.int64)
    network.info = ModelInfo(accuracy={"validation": 0.5, "test": 1.0})
    for name, labels in (("right", right), ("shuffled", (right + 1) % 10)):
        artifact = export_network(network, ["onnx-fp32"], tmp_path / name, images=images, labels=labels)
        (file,), told = artifact.manifest.files, capsys.readouterr().err
        words = "records 100.00% accuracy, and PyTorch has 0.00% of these 64 images right"
        assert (words in told) == (words in " ".join(file.notes)) == (name == "shuffled")


def test_few_images_to_calibrate_with_are_told(
    network: Network, tmp_path: Path, int8: str, capsys: pytest.CaptureFixture[str]
) -> None:
    images = random_textures(350, CHW)
    artifact = export_network(network, [int8], tmp_path / "a", images=images[:64], calibration=images[:8])
    words = "ranges come from 6 images where 256 are wanted"
    told = capsys.readouterr().err
    assert f"int8: {words}" in told
    assert "of 8 train images a quarter is kept for trials" in told
    assert words in " ".join(artifact.manifest.files[0].notes)
    assert doubts_of(get_target(int8), of_images(images[:342]), of_images(images)) == ()
    assert doubts_of(get_target("onnx-fp32"), of_images(images[:8]), of_images(images)) == ()


def test_a_refusal_for_dim_images_says_that_they_are_dim(network: Network, tmp_path: Path, int8: str) -> None:
    images, dim = random_textures(64, CHW), random_textures(64, CHW, seed=1) * np.float32(0.02)
    with pytest.raises(
        ParityError, match=r"images to calibrate with differ .* deviation 0\.02 .* there -?0\.00 and 1\.00"
    ):
        export_network(network, [int8], tmp_path / "a", images=images, calibration=dim)
    assert "images to calibrate with differ" in (tmp_path / "a.failed" / "failures.json").read_text()


def quiet(network: Network, channels: slice) -> Network:
    """Some channels of a block have nearly nothing in them, until its depthwise convolution makes it good."""
    block = next(each for each in network.get_submodule("layers").children() if hasattr(each, "bn1"))
    with torch.no_grad():
        block.bn1.weight[channels] *= 1e-9  # type: ignore[union-attr, index, operator]
        block.bn1.bias[channels] *= 1e-9  # type: ignore[union-attr, index, operator]
        block.conv2.weight[channels] *= 1e9  # type: ignore[union-attr, index, operator]
    return network


def test_a_refusal_for_fp16_names_underflow(network: Network, tmp_path: Path) -> None:
    with pytest.raises(ParityError, match=r"fp16 underflow: \d+% of the weights of layers\.\d\.conv1 are too small"):
        export_network(quiet(network, slice(0, None, 2)), ["onnx-fp16"], tmp_path / "a")


def test_what_underflows_as_a_whole_stays_in_fp32(network: Network, tmp_path: Path) -> None:
    artifact = export_network(quiet(network, slice(None)), ["onnx-fp16"], tmp_path / "a")
    (note,) = artifact.manifest.files[0].notes
    assert note.startswith("kept in fp32, since fp16 would overflow or underflow: layers.")
