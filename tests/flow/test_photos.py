"""Photographs as a person has them, one of them broken: through training, derivation and export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hwnas.errors import DataError
from hwnas.flow.derive import derive
from hwnas.flow.export import export
from hwnas.flow.train import train
from hwnas.space.arch import Arch
from hwnas.space.registry import get_space
from hwnas.training.trained import read_supernet_info
from tests.conftest import SMALL_SPACE
from tests.training.training_cases import short

UNREAD = "1 .heic in class 'cats' not read: hidden, or no kind that pillow knows"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """20 pictures of two classes, of which one is text and one of a kind that pillow doesn't read."""
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(10):
            picture = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
            picture.save(tmp_path / "photos" / name / f"{index}.png")
    (tmp_path / "photos" / "cats" / "3.png").write_text("text")
    (tmp_path / "photos" / "cats" / "4.heic").touch()
    return tmp_path / "photos"


def test_what_training_skipped_is_skipped_to_the_end(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match=r"cats/3\.png: not an image"):
        train(short(tmp_path / "small.yaml", data=str(photos), epochs=1, batch=4), tmp_path / "strict")
    config = short(tmp_path / "small.yaml", data=str(photos), epochs=1, batch=4, corrupt_images="skip")
    run = train(config, tmp_path / "run")
    told = capsys.readouterr().err.splitlines()
    assert f"{photos}: {UNREAD}" in told
    assert any("4 of its 20 images, 20% of each class, are the test part" in line for line in told)
    space = get_space(read_supernet_info(run.run).space)
    network = derive(Arch(space, (0, 3, 1, 2, 4, 1)), run, output=tmp_path / "model")
    assert network.info.corrupt_images == "skip"
    export(tmp_path / "model", "onnx-fp32", tmp_path / "artifact")
    assert f"1 image of {photos} can't be decoded: left out, as in the training" in capsys.readouterr().err
