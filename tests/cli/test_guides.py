"""Every command of the guides: run in order on digits, or parsed where it takes a GPU."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.cli.conftest import Flow
from tests.cli.guides import blocks, parse, run
from tests.cli.run import Shell
from tests.onnx_models import exported

_KINDS = {("sh", ""), ("sh", "fails"), ("sh", "gpu"), ("text", ""), ("python", "")}


@pytest.mark.usefixtures("quick")
def test_ship_a_model(hwnas: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer epochs, and less time to measure."""
    monkeypatch.chdir(tmp_path)
    ran = 0
    for block in blocks("ship-a-model.md"):
        if block.kind == "yaml":
            assert block.argument.endswith(".yaml"), block.text
            (tmp_path / block.argument).write_text(re.sub(r"(?<=^epochs: )\d", "1", block.text, flags=re.MULTILINE))
            continue
        assert (block.kind, block.argument) in _KINDS
        if block.kind != "sh" or block.argument == "gpu":
            continue
        for words in block.commands():
            status, errors = run(hwnas, words, tmp_path)
            assert status == (1 if block.argument == "fails" else 0), (words, errors)
            ran += 1
    assert ran >= 15


def test_what_takes_a_gpu_is_spelt_right() -> None:
    parsed = 0
    for block in blocks("ship-a-model.md"):
        if (block.kind, block.argument) == ("sh", "gpu"):
            for words in block.commands():
                if words[0] == "hwnas":
                    parse(words)
                    parsed += 1
    assert parsed >= 2
    for wrong in ("export model --targe x -o y", "exprot model", "bench"):
        with pytest.raises(Exception, match=r"No such|Missing"):
            parse(["hwnas", *wrong.split()])


def test_search_under_a_budget(hwnas: Shell, flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a small supernet, one machine for all devices, and few evaluations."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(flow.supernet, tmp_path / "runs" / "photos")
    for device in ("phone", "board"):
        shutil.copy(flow.table, f"{device}.yaml")
    shutil.copy(flow.space, "own.yaml")
    Path("more.onnx").write_bytes(exported(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), torch.zeros(1, 3, 8, 8)))
    searches = 0
    for block in blocks("search-under-a-budget.md"):
        assert (block.kind, block.argument) in _KINDS
        if block.kind != "sh":
            continue
        for words in block.commands():
            if words[:2] == ["hwnas", "search"]:
                searches += 1
                words = [word.replace(".yaml:30", ".yaml:8") for word in words]  # 30 ms would be taken for µs here
                words += ["--evaluations", "10"]
                if "--measure" in words:
                    words += ["--seconds", "2"]
            if words[:2] == ["hwnas", "profile"]:
                words += ["--seconds", "2"]
            if words[0] == "sqlite3" and not shutil.which("sqlite3"):
                continue
            status, errors = run(hwnas, words, tmp_path)
            assert status == 0, (words, errors)
    assert searches == 5
    assert (tmp_path / "runs" / "search" / "table.yaml").exists()


@pytest.mark.usefixtures("quick")
def test_the_readme_from_photos_to_a_model(hwnas: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With few and small photographs, one epoch, a moment to measure, and a budget of this machine."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("cat", "dog", "cow", "hen", "pig"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(20):
            Image.fromarray(rng.integers(0, 256, (70, 64, 3), np.uint8)).save(f"photos/{name}/{index}.jpg")
    page = blocks("../README.md")
    for block in page:
        if block.kind == "yaml":
            (tmp_path / block.argument).write_text(block.text.replace("epochs: 60", "epochs: 1"))
    (commands,) = (block for block in page if "hwnas space feasible" in block.text)
    less = {"profile": ["--seconds", "1", "--networks", "4"], "search": ["--evaluations", "6"]}
    budget_ms = 0.0
    for words in commands.commands():
        verb = words[1] if words[0] == "hwnas" else ""
        words = [word.replace(":0.3", f":{budget_ms}") for word in words] + less.get(verb, [])
        if verb == "bench":
            words, (_, file) = words[:-2], words[-2:]
            (tmp_path / file).write_text(hwnas(*words[1:]).out)
            continue
        status, errors = run(hwnas, words, tmp_path)
        assert status == 0, (words, errors)
        if verb == "space":
            budget_ms = hwnas(*words[1:], "--json").json["slowest_ms"]
    assert (tmp_path / "report.html").exists()


def test_every_command_of_the_readme_is_spelt_right() -> None:
    parsed = 0
    for block in blocks("../README.md"):
        for words in block.commands() if block.kind == "sh" else ():
            if "hwnas" in words:
                words = words[words.index("hwnas") :]
                parse(words[: words.index(">")] if ">" in words else words)
                parsed += 1
    assert parsed >= 20
