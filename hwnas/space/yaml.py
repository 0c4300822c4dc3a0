"""Spaces by name, and spaces that people describe in YAML.

The schema, with the values of ``scarlet-s1`` (all sizes in pixels or channels)::

    name: my-space
    resolution: 224
    classes: 1000
    act: hswish                  # of the choice blocks: relu, relu6 or hswish
    kernels: [3, 5, 7]           # odd
    expansions: [3, 6]
    se: [false]                  # [false], [true] or [false, true]
    skip: true                   # offered, as the last choice, where a layer keeps its shape
    stem: {width: 32, c_out: 16, stride: 2, separable: true, act: relu6}
    stages:
      - {c_out: 32, layers: 2, stride: 2}
      - {c_out: 40, layers: 4, stride: 2}
    head: {width: 1280, act: relu6}
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hwnas.errors import SpaceError
from hwnas.files import read_yaml, validated
from hwnas.plugins import load_plugin, plugin_names
from hwnas.space.macro import macro, narrower_macro
from hwnas.space.op import Stem
from hwnas.space.scarlet import mbconv_choices, scarlet_s1, scarlet_s2, scarlet_tiny
from hwnas.space.space import Space, Stage, assemble

_BUILT_IN: dict[str, Callable[[int | None, int | None], Space]] = {
    "scarlet-s1": scarlet_s1,
    "scarlet-s2": scarlet_s2,
    "scarlet-tiny": scarlet_tiny,
    "macro": macro,
}
_PLUGINS = "hwnas.spaces"

_Act = Literal["relu", "relu6", "hswish"]
_Positive = Annotated[int, Field(gt=0, le=65536, strict=True)]
_Stride = Annotated[int, Field(ge=1, le=4, strict=True)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _StemModel(_Model):
    width: _Positive
    c_out: _Positive
    stride: _Stride = 2
    separable: bool = True
    act: _Act = "relu6"

    @model_validator(mode="after")
    def _plain_stem_has_one_width(self) -> _StemModel:
        if not self.separable and self.c_out != self.width:
            raise ValueError("without separable, c_out must equal width")
        return self


class _StageModel(_Model):
    c_out: _Positive
    layers: Annotated[int, Field(ge=1, le=256, strict=True)]
    stride: _Stride


class _HeadModel(_Model):
    width: _Positive
    act: _Act = "relu6"


class _SpaceModel(_Model):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    resolution: _Positive
    classes: _Positive
    act: _Act
    kernels: Annotated[list[Annotated[int, Field(ge=1, le=31, strict=True)]], Field(min_length=1)]
    expansions: Annotated[list[Annotated[float, Field(gt=0, le=64, allow_inf_nan=False)]], Field(min_length=1)]
    se: Annotated[list[bool], Field(min_length=1, max_length=2)] = [False]
    skip: bool = True
    stem: _StemModel
    stages: Annotated[list[_StageModel], Field(min_length=1)]
    head: _HeadModel

    @model_validator(mode="after")
    def _choices_make_sense(self) -> _SpaceModel:
        if even := [k for k in self.kernels if k % 2 == 0]:
            raise ValueError(f"kernels must be odd, got {even[0]}")
        for name in ("kernels", "expansions", "se"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name} has a value twice: {values}")
        return self


def space_names() -> tuple[str, ...]:
    """Every space that has a name: the built-in ones and those of installed plug-ins."""
    return (*_BUILT_IN, *plugin_names(_PLUGINS))


def get_space(source: str, resolution: int | None = None, classes: int | None = None) -> Space:
    """A space by its name or by the path of its YAML file (``*.yaml``, ``*.yml``).

    Args:
        source: the name or the path.
        resolution: input height and width in pixels; the space's own when None.
        classes: outputs of the classifier; the space's own when None.

    Raises:
        SpaceError: unknown name, wrong YAML (with the field's path), or a resolution that doesn't fit.
    """
    for name, value in (("resolution", resolution), ("classes", classes)):
        if value is not None and value <= 0:
            raise SpaceError(f"{name} must be positive, got {value}")
    if source.endswith((".yaml", ".yml")):
        return _from_yaml(Path(source), resolution, classes)
    make = _BUILT_IN.get(source) or narrower_macro(source) or load_plugin(_PLUGINS, source)
    if make is None:
        raise SpaceError(f"no space {source!r}; known: {', '.join(space_names())}, or the path of a .yaml file")
    space: Space = make(resolution, classes)
    return space


def _from_yaml(path: Path, resolution: int | None, classes: int | None) -> Space:
    model = validated(_SpaceModel, read_yaml(path, SpaceError), path, SpaceError)
    size = resolution or model.resolution
    return assemble(
        name=model.name,
        source=str(path),
        stem=Stem(c_in=3, h_in=size, w_in=size, **model.stem.model_dump()),
        stages=[Stage(**stage.model_dump()) for stage in model.stages],
        choices=mbconv_choices(model.kernels, model.expansions, model.se, model.act, model.skip),
        head_width=model.head.width,
        classes=classes or model.classes,
        act=model.head.act,
    )
