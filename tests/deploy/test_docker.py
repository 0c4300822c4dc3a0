"""The Dockerfiles as text: no Docker is at hand where tests run, so what would be built is not.

Versions are pinned and those that hwnas is tested with, nothing runs as root, and what changes most comes last.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "deploy" / "docker").iterdir())


def instructions(path: Path) -> list[tuple[str, str]]:
    """(instruction, its words), comments left out and continued lines joined."""
    text = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
    lines = [line for line in re.sub(r"\\\n\s*", "", text).splitlines() if line.strip()]
    parts = [line.split(None, 1) for line in lines]
    assert all(len(part) == 2 for part in parts)
    return [(word, rest) for word, rest in parts]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_dockerfile(path: Path) -> None:
    found = instructions(path)
    words = [word for word, _ in found]
    assert set(words) <= {"ARG", "FROM", "RUN", "ENV", "COPY", "WORKDIR", "USER", "ENTRYPOINT"}
    assert words.count("FROM") == 1
    assert all(word == "ARG" for word in words[: words.index("FROM")])

    # every version is a build argument with a default, and used
    arguments = dict(rest.split("=", 1) for word, rest in found if word == "ARG")
    body = path.read_text()
    assert all(f"${{{name}}}" in body for name in arguments)
    image = next(rest for word, rest in found if word == "FROM")
    assert re.fullmatch(r"[\w/]+:[\w.-]*\$\{\w+\}[\w.-]*", image)
    installed = re.findall(r"pip install --no-cache-dir (.*?)(?:&&|$)", "\n".join(r for w, r in found if w == "RUN"))
    packages = [package for line in installed for package in line.split()]
    assert packages
    assert all(re.fullmatch(r'"[\w-]+==\$\{\w+\}"|/tmp/hwnas-\*\.whl', package) for package in packages)

    # the model comes after what changes less often; then root is left behind for good
    assert words[-3:] == ["COPY", "USER", "ENTRYPOINT"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", next(rest for word, rest in found if word == "USER"))
    entry = json.loads(found[-1][1])  # as a list: signals reach the program itself, not a shell
    assert entry[0] in ("python", "hwnas")


def test_versions_are_those_that_hwnas_is_tested_with() -> None:
    tested = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if re.match(r"[\w.-]+==", line)
    )
    for path in FILES:
        arguments = dict(rest.split("=", 1) for word, rest in instructions(path) if word == "ARG")
        for name, version in arguments.items():
            if name.lower() in tested:
                assert version == tested[name.lower()], f"{path.name}: {name}"
    assert {"NUMPY", "PILLOW", "ONNXRUNTIME", "OPENVINO"} <= {
        rest.split("=")[0] for word, rest in instructions(ROOT / "deploy/docker/Dockerfile.cpu") if word == "ARG"
    }
