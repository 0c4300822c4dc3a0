"""Every command of the guides: run in order on digits, or parsed where it takes a GPU."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Flow
from tests.cli.guides import blocks, parse, run
from tests.cli.run import Shell

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
            if words[0] == "sqlite3" and not shutil.which("sqlite3"):
                continue
            status, errors = run(hwnas, words, tmp_path)
            assert status == 0, (words, errors)
    assert searches == 4
    assert (tmp_path / "runs" / "search" / "table.yaml").exists()
