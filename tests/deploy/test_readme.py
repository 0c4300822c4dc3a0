"""deploy/README.md names files, verbs and options that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hwnas.records.target import target_names
from tests.cli.run import Shell

DEPLOY = Path(__file__).parents[2] / "deploy"
README = (DEPLOY / "README.md").read_text()
COMMANDS = re.findall(r"^.*\b(?:bin/)?hwnas ((?:export|bench|artifact) .*)$", README, re.MULTILINE)


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", README):
        assert (DEPLOY / link).exists(), link
    for path in re.findall(r"\bdeploy/[\w./-]+\w", README):
        assert (DEPLOY.parent / path).exists(), path


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_known(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = command.split("#")[0].split()
    verb = words[:2] if words[0] == "artifact" else words[:1]
    told = Shell(monkeypatch, capsys)(*verb, "--help").out
    assert all(re.search(rf"\s{word}\b", told) for word in words if word.startswith("--"))


def test_targets_are_known() -> None:
    assert len(COMMANDS) >= 6
    asked = set(re.findall(r"--target (\S+)", README))
    assert asked
    named = asked | set(re.findall(r"`((?:onnx|openvino|tensorrt)-[\w-]+)`", README)) - {"tensorrt-rtx"}
    assert named <= set(target_names())


def test_arguments_of_the_dockerfiles_are_the_ones_told() -> None:
    known = {
        name for path in (DEPLOY / "docker").iterdir() for name in re.findall(r"^ARG (\w+)=", path.read_text(), re.M)
    }
    (told,) = re.findall(r"`--build-arg` changes \(([^)]*)\)", README)
    assert set(re.findall(r"`(\w+)`", told)) <= known
