"""Code blocks of the guides, as the plug-ins that they are."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hwnas import registry

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str) -> list[str]:
    """All Python code of a page, block by block."""
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)


def load(page: str, name: str) -> ModuleType:
    """The page's first block as a module that can be imported; at most 60 lines."""
    code = blocks(page)[0]
    assert code.count("\n") <= 60
    if name not in sys.modules:  # once: a kind of op can be taken only once
        module = ModuleType(name)
        sys.modules[name] = module
        exec(compile(code, f"{page}: {name}", "exec", dont_inherit=True), module.__dict__)
    return sys.modules[name]


def register(monkeypatch: pytest.MonkeyPatch, group: str, **points: str) -> None:
    """As an installed package would: name -> ``module:attribute``."""
    known = [EntryPoint(name, value, group) for name, value in points.items()]
    monkeypatch.setattr(registry, "entry_points", lambda group: [p for p in known if p.group == group])


def install(folder: Path, page: str, name: str) -> dict[str, str]:
    """The page's first block and entry points in ``folder``, as pip would leave them; the environment that has them."""
    (folder / f"{name}.py").write_text(blocks(page)[0], "utf-8")
    info = folder / f"{name}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    groups = configurations(page)[0]["project"]["entry-points"].items()
    lines = [line for group, points in groups for line in (f"[{group}]", *(f"{n} = {v}" for n, v in points.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(DOCS.parent)))}


def configurations(page: str) -> list[dict[str, Any]]:
    """What the page shows of a ``pyproject.toml``, block by block."""
    return [
        tomllib.loads(text) for text in re.findall(r"```toml\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)
    ]
