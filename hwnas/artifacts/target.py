"""Targets by name: those that are shipped, and people's own files."""

from __future__ import annotations

from pathlib import Path

from hwnas.errors import ConfigError
from hwnas.files import read_yaml
from hwnas.records.target import Target
from hwnas.shipped import shipped


def target_names() -> tuple[str, ...]:
    """The shipped targets."""
    return tuple(sorted(path.stem for path in shipped("export", "targets").glob("*.yaml")))


def get_target(name: str) -> Target:
    """A shipped target by name, or a YAML file by path.

    Raises:
        ConfigError: unknown name, or a wrong file; the message names the field.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
    elif name in target_names():
        path = shipped("export", "targets", f"{name}.yaml")
    else:
        raise ConfigError(f"no target {name!r}; known: {', '.join(target_names())}, or the path of a .yaml file")
    data = read_yaml(path, ConfigError)
    return Target.of_plain({**data, "name": path.stem} if isinstance(data, dict) else data, path)
