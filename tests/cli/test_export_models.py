"""`hwnas export` of somebody's own model, from the file to an answer of predict.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.run import Shell
from tests.foreign_models import onnx_file, resnet8, text_encoder


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx_file(tmp_path_factory.mktemp("models") / "resnet8.onnx", resnet8(), "pixels")


@pytest.mark.usefixtures("quick")
def test_from_a_file_to_an_answer(hwnas: Shell, resnet: Path, tmp_path: Path) -> None:
    artifact = tmp_path / "artifact"
    words = ["--target", "onnx-fp32", "--target", "onnx-fp32-uint8", "--data", "digits", "--normalize"]
    found = hwnas("export", resnet, *words, "0.5,0.5,0.5/0.25,0.25,0.25", "-o", artifact, "--json")
    told = json.loads(found.out)
    assert told["reference"] == "ONNX Runtime without optimizations"
    assert told["parity"]["onnx-fp32"]["max_relative"] < 1e-4
    checked = json.loads(hwnas("artifact", "check", artifact, "--json").out)
    assert checked["passed"]
    assert {"onnx-fp32: structure", "onnx-fp32-uint8: parity"} <= {each["about"] for each in checked["checks"]}
    Image.fromarray(np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    answers = [
        subprocess.run(
            [sys.executable, artifact / "predict.py", "--target", target, tmp_path / "a.png"],
            capture_output=True, text=True, check=True,
        ).stdout
        for target in ("onnx-fp32", "onnx-fp32-uint8")
    ]  # fmt: skip
    assert len(answers[0].splitlines()) == 5
    assert answers[0].split()[1] == answers[1].split()[1]


@pytest.mark.usefixtures("quick")
def test_arrays_of_several_inputs(hwnas: Shell, tmp_path: Path) -> None:
    model = onnx_file(tmp_path / "text.onnx", text_encoder(), "ids", "mask")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "texts.npz", ids=rng.integers(100, size=(12, 16)), mask=np.ones((12, 16), np.int64))
    found = hwnas("export", model, "--target", "onnx-fp32", "--data", tmp_path / "texts.npz", "-o", tmp_path / "a")
    assert found.status == 0
    assert "differs from ONNX Runtime without optimizations by" in found.out
    assert "3 inputs of texts.npz" in found.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--normalize", "0.5"], "--normalize '0.5' isn't MEAN/STD"),
        (["--normalize", "0.5/0.5"], "mean and std must be 3 numbers each, std above 0, got 1 and 1"),
        (["--shape", "images=1x3x32x32"], "no input 'images'"),
        (["--data", "nowhere.npz"], "can't read nowhere.npz"),
        (["--target", "tensorrt-fp32"], "no target"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_written(
    hwnas: Shell, resnet: Path, tmp_path: Path, words: list[str], told: str
) -> None:
    assert told in hwnas.refused("export", resnet, "--target", "onnx-fp32", *words, "-o", tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_options_of_somebodys_own_model_are_for_such(hwnas: Shell, tmp_path: Path) -> None:
    for option in (["--shape", "images=1x3x32x32"], ["--normalize", "0.5,0.5,0.5/1,1,1"]):
        words = ["export", "scarlet-a", "--target", "onnx-fp32", *option, "-o", tmp_path / "a"]
        assert f"{option[0]} is for an ONNX file or module:callable" in hwnas.refused(*words)
