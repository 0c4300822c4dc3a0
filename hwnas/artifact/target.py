"""`Target`: what to export to and how close it must come; a YAML file of ``export/targets/`` or of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from hwnas.errors import ConfigError
from hwnas.files import read_yaml, validated
from hwnas.shipped import shipped


class Tolerance(BaseModel):
    """How far an exported file may be from the PyTorch network.

    Attributes:
        relative: largest absolute difference of a logit, over the largest absolute logit.
        top1: least share of inputs with the same first class.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    relative: Annotated[float, Field(gt=0, lt=1)]
    top1: Annotated[float, Field(gt=0, le=1)]


class Target(BaseModel):
    """One kind of file to make.

    Attributes:
        name: the YAML file's name without suffix.
        format: of the file.
        precision: of weights and arithmetic.
        runtime: that checks and times the file.
        tolerance: a miss fails the export.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Annotated[Literal["hwnas-target/1"], Field(alias="schema")]
    name: str
    format: Literal["onnx"]
    precision: Literal["fp32"]
    runtime: str
    tolerance: Tolerance


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
    if isinstance(data, dict):
        data = {**data, "name": path.stem}
    return validated(Target, data, path, ConfigError)
