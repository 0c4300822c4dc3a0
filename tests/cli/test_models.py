"""What a model is checked with, and what an official checkpoint brings along."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hwnas.data.load import load_data
from hwnas.flow.export import real_images
from hwnas.nn.model_folder import load_model
from hwnas.nn.network import Network
from hwnas.records.model import ModelInfo
from hwnas.space.registry import get_space
from tests.cli.conftest import Flow
from tests.cli.run import Shell
from tests.nn.official import official_state, write


def _photos(root: Path, classes: tuple[str, ...]) -> Path:
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in classes:
            (root / part / name).mkdir(parents=True)
            for index in range(3):
                pixels = rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{index}.png")
    return root


def test_images_become_inputs_as_in_training(tmp_path: Path) -> None:
    """A crop of a resized image, and the mean and deviation of the training's own split of the data."""
    photos = str(_photos(tmp_path, ("cat", "dog")))
    trained = load_data(photos, 16, held_out=0.4, resize_px=20)
    network = Network(get_space("scarlet-tiny", 16, 2), [0] * 8)
    info = ModelInfo(data=photos, labels=("cat", "dog"), preprocessing=trained.preprocessing)
    network.info = info
    for data in (None, photos):
        real = real_images(network, data)
        assert real is not None
        assert np.array_equal(real.images, trained.normalize(trained.test.pixels(torch.arange(6))).numpy())
    plain = load_data(photos, 16)
    assert not np.allclose(real.images, plain.normalize(plain.test.pixels(torch.arange(6))).numpy(), atol=1e-3)


def test_checks_without_images_are_asked_for(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    words = ("export", flow.model, "--target", "onnx-fp32", "--data", "none", "-o", tmp_path / "artifact", "--json")
    assert hwnas(*words).json["parity"]["onnx-fp32"]["inputs"] == "random textures"


def test_a_model_whose_images_are_elsewhere(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(flow.model, model)
    described = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps({**described, "info": {**described["info"], "data": "photos"}}))
    words = ("export", model, "--target", "onnx-fp32", "-o", tmp_path / "artifact")
    assert "no folder photos" in (message := hwnas.refused(*words))
    assert "--data" in message
    found = hwnas(*words, "--data", "digits", "--json").json
    assert found["parity"]["onnx-fp32"]["inputs"] == "images of digits"


@pytest.mark.parametrize(
    ("classes", "part"), [(("cat", "dog"), "2 classes, the network 10"), (tuple("abcdefghij"), "class 'a' where the")]
)
def test_images_of_other_classes(hwnas: Shell, flow: Flow, tmp_path: Path, classes: tuple[str, ...], part: str) -> None:
    photos = _photos(tmp_path / "photos", classes)
    words = ("export", flow.model, "--target", "onnx-fp32", "--data", photos, "-o", tmp_path / "artifact")
    assert part in hwnas.refused(*words)
    assert not (tmp_path / "artifact").exists()


def test_an_official_checkpoint(hwnas: Shell, tmp_path: Path) -> None:
    checkpoint = write(tmp_path / "official.pth.tar", state := official_state("scarlet-c"))
    derived = hwnas("derive", "scarlet-c", "--checkpoint", checkpoint, "-o", tmp_path / "model", "--json").json
    assert derived["params"] == 6_073_684
    network = load_model(tmp_path / "model")
    info = network.info
    assert info.data is None
    assert info.labels == tuple(map(str, range(1000)))
    assert info.preprocessing is not None
    assert (info.preprocessing.resize_px, info.preprocessing.resolution) == (256, 224)
    assert info.preprocessing.mean == (0.485, 0.456, 0.406)
    assert info.made_from["checkpoint"] == "official.pth.tar"
    assert torch.equal(network.state_dict()["head.classifier.weight"], state["classifier.weight"])
    words = ("derive", "scarlet-c", "--checkpoint", checkpoint, "--classes", "10", "-o", tmp_path / "other")
    assert "1000 classes apart, not 10" in hwnas.refused(*words)


def test_a_point_of_the_front_is_derived(hwnas: Shell, flow: Flow, tmp_path: Path) -> None:
    shown = hwnas("search", "--supernet", flow.supernet, "--table", flow.table, "--evaluations", "12", "-o",
                  tmp_path / "search", "--json").json["front"]  # fmt: skip
    last = len(shown) - 1
    point = f"{tmp_path / 'search' / 'front.json'}:{last}"
    assert hwnas("derive", point, "--supernet", flow.supernet, "-o", tmp_path / "model").status == 0
    assert list(load_model(tmp_path / "model").choices) == shown[last]["choices"]
    assert f"give one as :N from :0 to :{last}" in hwnas.refused("count", point.replace(f":{last}", ":99"))
