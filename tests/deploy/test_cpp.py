"""The C++ program, built against the library of the installed Python package, gives what Python gives."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper

from hwnas.artifacts.bundle import Artifact
from hwnas.artifacts.parity import random_textures
from hwnas.nn.network import Network
from tests.artifacts.test_predict import odd_photos
from tests.deploy.conftest import LABELS

pytestmark = pytest.mark.xdist_group("cpp")

SOURCE = Path(__file__).parents[2] / "deploy" / "cpp"
HEADER = "onnxruntime_cxx_api.h"


def _headers() -> Path:
    named = os.environ.get("ONNXRUNTIME_INCLUDE_DIR")
    for folder in (*([Path(named)] if named else []), Path("/usr/include/onnxruntime")):
        if (folder / HEADER).is_file():
            return folder
    pytest.skip(f"no {HEADER}: set ONNXRUNTIME_INCLUDE_DIR to ONNX Runtime's include folder")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (shutil.which("cmake") and shutil.which("c++")):
        pytest.skip("no cmake or no C++ compiler")
    headers, folder = _headers(), tmp_path_factory.mktemp("cpp")
    (library,) = (Path(ort.__file__).parent / "capi").glob("libonnxruntime.so.*")
    (folder / "lib").mkdir()
    link = folder / "lib" / "libonnxruntime.so.1"  # the name that the library has for the loader; the package lacks it
    link.symlink_to(library)
    options = {
        "CMAKE_CXX_FLAGS": "-Wall -Wextra -Wpedantic -Werror",
        "ONNXRUNTIME_INCLUDE_DIR": headers,
        "ONNXRUNTIME_LIBRARY": link,
    }
    for command in (
        ["cmake", "-S", SOURCE, "-B", folder / "build", *(f"-D{key}={value}" for key, value in options.items())],
        ["cmake", "--build", folder / "build"],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build" / "predict"


def rows(program: Path, *words: object) -> list[list[str]]:
    """What it prints; nothing is left in the home folder or the one for temporary files."""
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_"))}
    with TemporaryDirectory() as home:
        alone |= {"HOME": home, "TMPDIR": home}
        done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, env=alone)
        assert os.listdir(home) == []
    assert (done.returncode, done.stderr) == (0, "")
    return [line.split("\t") for line in done.stdout.splitlines()]


def check(told: list[list[str]], logits: np.ndarray, labels: tuple[str, ...] = LABELS) -> None:
    order = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    assert [(int(image), int(rank)) for image, rank, *_ in told] == [
        (image, rank + 1) for image in range(len(logits)) for rank in range(order.shape[1])
    ]
    assert [int(row[2]) for row in told] == order.flatten().tolist()
    assert [row[5] for row in told] == [labels[i] if labels else "" for i in order.flatten()]
    best = np.take_along_axis(logits, order, axis=1).flatten()
    np.testing.assert_allclose([float(row[4]) for row in told], best, rtol=1e-5, atol=1e-5)
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities = np.take_along_axis(exponentials / exponentials.sum(axis=1, keepdims=True), order, axis=1)
    np.testing.assert_allclose([float(row[3]) for row in told], probabilities.flatten(), atol=1e-5)


def test_it_gives_what_python_gives(program: Path, exported: tuple[Network, Artifact], tmp_path: Path) -> None:
    network, artifact = exported
    images = random_textures(6, (3, 16, 16), seed=3)
    images.tofile(tmp_path / "images.raw")
    (tmp_path / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    model = artifact.path / "onnx-fp32.onnx"
    python = ort.InferenceSession(model).run(None, {"images": images})[0]
    check(rows(program, model, tmp_path / "images.raw", tmp_path / "labels.txt"), python)
    with torch.inference_mode():
        pytorch = network(torch.from_numpy(images)).numpy()
    check(rows(program, model, tmp_path / "images.raw"), pytorch, labels=())


def test_photographs_give_what_predict_gives(program: Path, exported: tuple[Network, Artifact], tmp_path: Path) -> None:
    """Turned by EXIF, 16 bits deep, transparent: `predict.py --raw` prepares them for C++ as for itself."""
    script, raw = exported[1].path / "predict.py", tmp_path / "images.raw"
    photos = odd_photos(tmp_path / "photos")
    subprocess.run([sys.executable, script, "--target", "onnx-fp32", "--raw", raw, *photos], check=True)
    told = rows(program, exported[1].path / "onnx-fp32.onnx", raw)
    for index, photo in enumerate(photos):
        python = subprocess.run([sys.executable, script, photo], check=True, capture_output=True, text=True).stdout
        pairs = [line.split("  ") for line in python.splitlines()]
        its = [row for row in told if row[0] == str(index)]
        assert [LABELS[int(row[2])] for row in its] == [name for _, name in pairs]
        np.testing.assert_allclose([float(row[3]) for row in its], [float(share) for share, _ in pairs], atol=2e-6)


def test_a_fixed_batch_of_bytes(program: Path, tmp_path: Path) -> None:
    """uint8 rows, columns, channels in, two images at a time; three classes: the channels' sums."""
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["floats", "axes"], ["logits"], keepdims=0),
    ]
    entry = helper.make_tensor_value_info("images", TensorProto.UINT8, [2, 4, 5, 3])
    result = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [2, 3])
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])
    graph = helper.make_graph(nodes, "sums", [entry], [result], [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "model.onnx")
    images = np.random.default_rng(0).integers(0, 256, (4, 4, 5, 3), np.uint8)
    images.tofile(tmp_path / "images.raw")
    told = rows(program, tmp_path / "model.onnx", tmp_path / "images.raw")
    check(told, images.sum(axis=(1, 2)).astype(np.float32), labels=())
    images[:3].tofile(tmp_path / "three.raw")
    done = subprocess.run([program, tmp_path / "model.onnx", tmp_path / "three.raw"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "has 180 bytes; the model takes a multiple of 120" in done.stderr


def test_bad_input_is_one_line(program: Path, exported: tuple[Network, Artifact], tmp_path: Path) -> None:
    model = exported[1].path / "onnx-fp32.onnx"
    (tmp_path / "short").write_bytes(b"abc")
    (tmp_path / "empty").write_bytes(b"")
    np.full((1, 3, 16, 16), np.nan, np.float32).tofile(tmp_path / "nan")
    cases = {
        "can't read": [model, tmp_path / "none"],
        "takes a multiple of 3072": [model, tmp_path / "short"],
        "has 0 bytes": [model, tmp_path / "empty"],
        "aren't finite": [model, tmp_path / "nan"],
        "predict: ": [tmp_path / "short", tmp_path / "short"],
        "usage: ": [model],
    }
    for words, command in cases.items():
        done = subprocess.run([program, *command], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_cmake_says_what_is_missing(tmp_path: Path) -> None:
    if not shutil.which("cmake"):
        pytest.skip("no cmake")
    nowhere = ["-DONNXRUNTIME_INCLUDE_DIR=", "-DONNXRUNTIME_LIBRARY="]
    words = ["cmake", "-S", SOURCE, "-B", tmp_path / "build", *nowhere]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode != 0
    assert "-DONNXRUNTIME_ROOT=FOLDER" in done.stderr
