"""``predict.py`` where hwnas isn't: any image, any target, and one line for what can't be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from hwnas.artifacts.export import _without_paths, export_network
from hwnas.data.images import decode
from hwnas.data.load import Data, load_data
from hwnas.nn.network import Network
from hwnas.records.model import ModelInfo
from hwnas.space.registry import get_space
from tests.artifacts.test_bundle import ALONE, expected

TARGETS = ("onnx-fp32", "onnx-fp32-uint8", "openvino-fp32")


class Made(NamedTuple):
    artifact: Path
    network: Network
    data: Data
    photos: list[Path]
    """Of the test part."""


def odd_photos(folder: Path) -> list[Path]:
    """Pictures as people have them: turned by EXIF, of 16 bits, transparent, of several frames, long."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(len(str(folder)))
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    picture = coarse.resize((40, 30), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "0-turned.jpg", exif=exif)
    Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257).save(folder / "1-deep.png")
    picture.putalpha(Image.fromarray(rng.integers(0, 256, (30, 40), dtype=np.uint8)))
    picture.save(folder / "2-alpha.png")
    picture.convert("RGB").save(folder / "3-frames.gif", save_all=True, append_images=[coarse.resize((40, 30))])
    picture.convert("RGB").resize((900, 30)).save(folder / "4-long.tiff")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("predict")
    photos = [odd_photos(root / "photos" / part / name) for part in ("train", "test") for name in ("café", "dogs")]
    data = load_data(str(root / "photos"), 16, resize_px=20)
    network = Network(get_space("macro-w8", 16, 2), [0, 1, 2, 0, 1, 2, 0, 1], seed=1).eval()
    network.info = ModelInfo(data=data.spec, labels=data.classes, preprocessing=data.preprocessing)
    images = data.test_images(10)
    export_network(network, TARGETS, root / "artifact", images=images, images_of=data.spec, calibration=images)
    return Made(root / "artifact", network, data, [*photos[2], *photos[3]])


def predict(made: Made, *words: object, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-c", ALONE, "numpy,PIL,onnxruntime,openvino", made.artifact / "predict.py"]
    return subprocess.run([*command, *words], capture_output=True, text=True, env={**os.environ, **env})


@pytest.mark.parametrize("target", TARGETS)
def test_any_image_by_any_target_is_what_the_data_path_gives(made: Made, target: str) -> None:
    """Ten odd files, each headed by its name; the oracle is PyTorch on what training would see."""
    found = predict(made, "--target", target, *made.photos)
    assert (found.returncode, found.stderr) == (0, "")
    blocks = [found.stdout.splitlines()[first : first + 3] for first in range(0, 30, 3)]
    assert [block[0] for block in blocks] == [f"{path}:" for path in made.photos]
    wanted = expected(made.network, made.data.normalize(made.data.test.pixels(torch.arange(10))))
    for (_, *lines), its in zip(blocks, wanted, strict=True):
        rows = [line.split("  ", 1) for line in lines]
        assert [name for _, name in rows] == [made.data.classes[index] for _, index in its]
        assert [float(share) for share, _ in rows] == pytest.approx([share for share, _ in its], abs=2e-5)


def test_what_a_file_takes_can_be_written_for_another_program(made: Made, tmp_path: Path) -> None:
    wanted = made.data.normalize(made.data.test.pixels(torch.arange(3))).contiguous().numpy()
    assert predict(made, "--raw", tmp_path / "floats", *made.photos[:3]).returncode == 0
    np.testing.assert_allclose(np.fromfile(tmp_path / "floats", np.float32), wanted.ravel(), rtol=1e-6, atol=1e-6)
    assert predict(made, "--raw", tmp_path / "bytes", "--target", "onnx-fp32-uint8", *made.photos[:3]).returncode == 0
    squares = np.stack([decode(path, str, 20)[2:18, 2:18] for path in made.photos[:3]])
    assert (tmp_path / "bytes").read_bytes() == squares.tobytes()


def test_how_it_is_used(made: Made) -> None:
    found = predict(made)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("usage: predict.py [-h] [--target {onnx-fp32,onnx-fp32-uint8,openvino-fp32}]")
    assert "Traceback" not in found.stderr
    assert "--target" in predict(made, "--help").stdout
    assert predict(made, "--target", "none", made.photos[0]).returncode == 2


def test_what_cant_be_read_is_a_line_and_the_rest_is_done(made: Made, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("text")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "half.jpg").write_bytes(made.photos[0].read_bytes()[:300])
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "floats.tiff")
    odd = ["none.png", "text.png", "pipe.png", "half.jpg", "floats.tiff", "", "a\n\x1b[31mb"]
    found = predict(made, *(tmp_path / name for name in odd), made.photos[0])
    assert found.returncode == 2
    assert found.stdout == f"{made.photos[0]}:\n{predict(made, made.photos[0]).stdout}"
    told = found.stderr.splitlines()
    assert len(told) == len(odd)
    for name, line, words in zip(
        odd,
        told,
        [
            "No such file",
            "cannot identify",
            "not a plain file",
            "",
            "nobody knows",
            "it is a folder; give ",
            "No such file",
        ],
        strict=True,
    ):
        path = str(tmp_path / name).replace("\n", "\\n").replace("\x1b", "\\x1b")
        assert line.startswith(f"predict.py: can't read {path}: ")
        assert words in line
    found = predict(made, "--raw", tmp_path / "no" / "folder", made.photos[0])
    assert (found.returncode, found.stderr) == (
        2,
        f"predict.py: can't write {tmp_path}/no/folder: No such file or directory\n",
    )


def test_lines_stand_in_the_order_of_the_images(made: Made, tmp_path: Path) -> None:
    script, photo = made.artifact / "predict.py", made.photos[0]
    (tmp_path / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    command = [sys.executable, script, photo, tmp_path / "phone.HEIC", photo]
    told = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout.splitlines()
    ours = [line for line in told if line.startswith((str(photo), "predict.py"))]
    assert [line.split(":")[0] for line in ours] == [str(photo), "predict.py", str(photo)]
    assert ours[1].endswith("; convert it, as to JPEG")


def test_a_runtime_that_isnt_there(made: Made) -> None:
    command = [sys.executable, "-I", "-c", ALONE, "numpy,PIL", made.artifact / "predict.py", made.photos[0]]
    found = subprocess.run(command, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == "predict.py: onnx-fp32 needs onnxruntime: pip install onnxruntime\n"


def test_terminals_that_know_no_accents_and_readers_that_leave(made: Made, tmp_path: Path) -> None:
    script = made.artifact / "predict.py"
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    found = subprocess.run([sys.executable, script, made.photos[0]], capture_output=True, text=True, env=ascii_only)
    assert (found.returncode, found.stderr) == (0, "")
    assert "caf\\xe9" in found.stdout
    read, write = os.pipe()
    os.close(read)
    gone = subprocess.run([sys.executable, script, *made.photos], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert gone.stderr == ""


def test_no_path_of_the_machine_is_in_an_artifact(made: Made) -> None:
    """In no file, whatever its kind: of the data set its name is left."""
    root = str(made.artifact.parent).encode()
    assert str(made.data.spec).encode().startswith(root)
    for path in made.artifact.iterdir():
        content = path.read_bytes()
        for there in (root, str(Path.home()).encode() + b"/", str(Path(__file__).parents[2]).encode(), b"/tmp/"):
            assert there not in content, path.name
    assert "Trained on photos." in (made.artifact / "README.md").read_text("utf-8")


def test_paths_in_what_a_runtime_says() -> None:
    words = "no module (/opt/me/x/y.py), /usr/lib/libn.so: cannot open, C:\\Users\\me\\a.dll and/or 1/2"
    assert _without_paths(words) == "no module (y.py), libn.so: cannot open, a.dll and/or 1/2"
