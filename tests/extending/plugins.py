"""Code blocks of the guides, as the plug-ins that they are."""

from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

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
