"""The learner of docs/add-a-learner.md, as a plug-in: trained, resumed and logged as those of hwnas are."""

from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest
from safetensors.torch import load_file

from hwnas import registry
from hwnas.errors import ConfigError
from hwnas.flow.train import train
from hwnas.space.arch import parse_arch
from hwnas.training import loop
from hwnas.training.config import read_config
from hwnas.training.log import read_log

_GUIDE = Path(__file__).parents[2] / "docs" / "add-a-learner.md"


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guide's plug-in, installed."""
    code = re.search(r"```python\n(.*?)```", _GUIDE.read_text("utf-8"), re.DOTALL)
    assert code
    assert code.group(1).count("\n") <= 60
    module = ModuleType("hwnas_gates")
    exec(code.group(1), module.__dict__)
    monkeypatch.setitem(sys.modules, "hwnas_gates", module)
    point = EntryPoint("gates", "hwnas_gates:Gates", "hwnas.learners")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == point.group else [])


def configured(tmp_path: Path, small_yaml: Path, learner: str) -> Path:
    path = tmp_path / "gates.yaml"
    path.write_text(
        f"data: digits\nlearner: {{kind: gates, {learner}: {small_yaml}}}\nepochs: 2\nbatch: 320\nthreads: 1\n"
    )
    return path


@pytest.mark.usefixtures("gates")
def test_it_is_trained_resumed_and_logged(small_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(tmp_path, small_yaml, "space")
    whole = train(config, tmp_path / "whole")
    assert parse_arch(str(whole.result)).space.name == "small"
    weights = load_file(whole.run / "checkpoint.safetensors")
    assert all(weights[f"weight.gates.{layer}"].abs().max() > 0 for layer in range(6))  # they were learnt
    assert [list(line.accuracy) for line in read_log(whole.run)] == [["validation"]] * 2
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)

    def interrupt(what: str, done: int, total: int, note: str) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "stopped", progress=interrupt)
    resumed = train(config, tmp_path / "stopped", resume=True)
    for name in ("arch.json", "checkpoint.safetensors"):
        assert (resumed.run / name).read_bytes() == (whole.run / name).read_bytes()


@pytest.mark.usefixtures("gates")
def test_its_keys_are_told_as_all_others_are(small_yaml: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key 'spac' in 'learner'; did you mean 'space'"):
        read_config(configured(tmp_path, small_yaml, "spac"))
