"""`SpaceRef`: which space something was made of, in enough words to make the space again anywhere.

A space that people describe in YAML is a `SpaceDefinition`, with the values of ``scarlet-s1`` (all sizes in pixels or
channels)::

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

One whose stem names its ``kind`` (or ``module``) is a `BlocksDefinition`: any blocks, with values of their fields to
choose among.

Either travels with everything that is made of the space, so the YAML file may be edited, moved or removed afterwards.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from hwnas.record import Record

Act = Literal["relu", "relu6", "hswish"]
LARGEST_SIZE = 65536
Size = Annotated[int, Field(gt=0, le=LARGEST_SIZE)]
_Stride = Annotated[int, Field(ge=1, le=4)]


class StemDefinition(Record):
    width: Size
    c_out: Size
    stride: _Stride = 2
    separable: bool = True
    act: Act = "relu6"

    @model_validator(mode="after")
    def _plain_stem_has_one_width(self) -> StemDefinition:
        if not self.separable and self.c_out != self.width:
            raise ValueError("without separable, c_out must equal width")
        return self


class StageDefinition(Record):
    c_out: Size
    layers: Annotated[int, Field(ge=1, le=256)]
    stride: _Stride


class HeadDefinition(Record):
    width: Size
    act: Act = "relu6"


class SpaceDefinition(Record):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    resolution: Size
    classes: Size
    act: Act
    kernels: Annotated[tuple[Annotated[int, Field(ge=1, le=31)], ...], Field(min_length=1)]
    expansions: Annotated[tuple[Annotated[float, Field(gt=0, le=64)], ...], Field(min_length=1)]
    se: Annotated[tuple[bool, ...], Field(min_length=1, max_length=2)] = (False,)
    skip: bool = True
    stem: StemDefinition
    stages: Annotated[tuple[StageDefinition, ...], Field(min_length=1)]
    head: HeadDefinition

    @model_validator(mode="after")
    def _choices_make_sense(self) -> SpaceDefinition:
        if even := [k for k in self.kernels if k % 2 == 0]:
            raise ValueError(f"kernels must be odd, got {even[0]}")
        for name in ("kernels", "expansions", "se"):
            values = getattr(self, name)
            if len(set(values)) != len(values):
                raise ValueError(f"{name} has a value twice: {list(values)}")
        return self


_Value = bool | Annotated[int, Field(le=LARGEST_SIZE)] | float | Annotated[str, Field(max_length=100)]
_Fields = dict[str, _Value | Annotated[tuple[_Value, ...], Field(min_length=1, max_length=256)]]
"""Of a block: its kind and its fields, but for those of the shape that goes in. A field of a stage's block may have
several values to choose among."""


class StageOfBlocks(Record):
    """``layers`` choice layers, one behind the other.

    Attributes:
        block: what they choose among: each of its fields' values with each of the others'; of several blocks those of
            all, one block behind the other.
        skip: offered, as the last choice, where a layer keeps its shape.
    """

    layers: Annotated[int, Field(ge=1, le=256)]
    block: _Fields | Annotated[tuple[_Fields, ...], Field(min_length=1, max_length=256)]
    skip: bool = False

    @property
    def blocks(self) -> tuple[_Fields, ...]:
        """One or several."""
        return self.block if isinstance(self.block, tuple) else (self.block,)


class BlocksDefinition(Record):
    """A chain of any blocks: see docs/spaces.md, and :func:`hwnas.space.blocks.blocks_space`."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    resolution: Size
    classes: Size
    stem: _Fields
    stages: Annotated[tuple[StageOfBlocks, ...], Field(min_length=1, max_length=256)]
    head: _Fields

    @property
    def own_code(self) -> tuple[str, ...]:
        """What of the user's own code its blocks are: ``module:callable``, once each."""
        blocks = (self.stem, *(block for stage in self.stages for block in stage.blocks), self.head)
        named = (block["module"] for block in blocks if "module" in block)
        return tuple(dict.fromkeys(str(each) for one in named for each in (one if isinstance(one, tuple) else (one,))))


def definition_of(data: Any) -> type[SpaceDefinition] | type[BlocksDefinition]:
    """Which of the two a YAML file's content is."""
    stem = data.get("stem") if isinstance(data, dict) else None
    return BlocksDefinition if isinstance(stem, dict) and stem.keys() & {"kind", "module"} else SpaceDefinition


def _tag(value: Any) -> str:
    return (type(value) if isinstance(value, Record) else definition_of(value)).__name__


Definition = Annotated[
    Annotated[SpaceDefinition, Tag("SpaceDefinition")] | Annotated[BlocksDefinition, Tag("BlocksDefinition")],
    Discriminator(_tag),
]


class SpaceRef(Record):
    """Which space, at which size; :func:`hwnas.space.registry.get_space` makes it again.

    Attributes:
        source: the space's name, or the path of the YAML file that it came from.
        resolution: input height and width in pixels.
        classes: outputs of the classifier.
        fingerprint: ``Space.fingerprint``: two spaces with equal ones have the same archs and networks.
        definition: what the YAML file said; None where the name says everything.
    """

    source: str
    resolution: Annotated[int, Field(gt=0)]
    classes: Annotated[int, Field(gt=0)]
    fingerprint: str
    definition: Definition | None = None

    @property
    def name(self) -> str:
        return self.definition.name if self.definition else self.source

    @property
    def own_code(self) -> tuple[str, ...]:
        """See `BlocksDefinition`; none where a package brings the blocks."""
        return self.definition.own_code if isinstance(self.definition, BlocksDefinition) else ()

    def __str__(self) -> str:
        return f"{self.source} at {self.resolution} px with {self.classes} classes"
