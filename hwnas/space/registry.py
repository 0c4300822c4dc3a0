"""Spaces by name, from people's YAML, and out of whatever was made of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hwnas.errors import SpaceError, shown, whole
from hwnas.files import read_yaml, validated
from hwnas.registry import Registry
from hwnas.space.blocks import blocks_space, vit_tiny
from hwnas.space.chain import ChainSpace
from hwnas.space.macro import macro, narrower_macro
from hwnas.space.ref import LARGEST_SIZE, BlocksDefinition, Definition, SpaceDefinition, SpaceRef, definition_of
from hwnas.space.scarlet import mbconv_space, scarlet_s1, scarlet_s2, scarlet_tiny

SPACES = Registry[Callable[[int | None, int | None], ChainSpace]](
    "hwnas.spaces",
    "space",
    {
        "scarlet-s1": scarlet_s1,
        "scarlet-s2": scarlet_s2,
        "scarlet-tiny": scarlet_tiny,
        "macro": macro,
        "vit-tiny": vit_tiny,
    },
    SpaceError,
    "or the path of a .yaml file",
)
"""What makes a space of a resolution in pixels and a number of classes; None are the space's own."""


def get_space(source: str | Path | SpaceRef, resolution: int | None = None, classes: int | None = None) -> ChainSpace:
    """A space.

    Args:
        source: its name; the path of a YAML file (``*.yaml``, ``*.yml``) that describes it, see :mod:`hwnas.space.ref`;
            or what a file of hwnas says of the space that it was made of.
        resolution: input height and width in pixels; the space's own when None.
        classes: outputs of the classifier; the space's own when None.

    Raises:
        SpaceError: unknown name, wrong YAML (with the field's path), a resolution that doesn't fit, or a space that is
            another one now than what was made of it says.
    """
    if resolution is not None:
        resolution = whole("resolution", resolution, 1, LARGEST_SIZE, SpaceError)
    if classes is not None:
        classes = whole("classes", classes, 1, LARGEST_SIZE, SpaceError)
    if isinstance(source, SpaceRef):
        check_own_code(source.source, source.definition)
        found = made(source.source, source.definition, resolution or source.resolution, classes or source.classes)
        same_size = (found.resolution, found.classes) == (source.resolution, source.classes)
        if same_size and found.fingerprint != source.fingerprint:
            raise SpaceError(
                f"the space {source.source} isn't what it was when this was made of it, or this was edited since; "
                "make it anew"
            )
        return found
    if not isinstance(source, str | Path):
        raise SpaceError(f"a space is asked for by its name or the path of a .yaml file, got {shown(source)}")
    source = str(source)
    if source.endswith((".yaml", ".yml")):
        path = Path(source)
        said = read_yaml(path, SpaceError)
        definition: Definition = validated(definition_of(said), said, path, SpaceError)
        return made(source, definition, resolution, classes)
    return made(source, None, resolution, classes)


def check_own_code(source: str, definition: Definition | None) -> None:
    """Hold what a file says of a space against the user's own YAML: no file of others is to say what code is run.

    Raises:
        SpaceError: it names code as its blocks that the YAML file ``source``, here, doesn't name.
    """
    named = definition.own_code if isinstance(definition, BlocksDefinition) else ()
    if not named:
        return
    path, known = Path(source), tuple[str, ...]()
    if path.exists():
        said = validated(definition_of(found := read_yaml(path, SpaceError)), found, path, SpaceError)
        known = said.own_code if isinstance(said, BlocksDefinition) else ()
    if strange := [each for each in named if each not in known]:
        raise SpaceError(
            f"this was made of {source}, of which blocks are somebody's own code ({strange[0]}); that is run only "
            f"where {source} lies and names it: bring both, and run hwnas there"
        )


def made(source: str, definition: Definition | None, resolution: int | None, classes: int | None) -> ChainSpace:
    """The space of a name, or of a definition that came from the path ``source``."""
    if definition is None:
        make = narrower_macro(source) or SPACES.get(source)
        return make(resolution, classes)
    if isinstance(definition, SpaceDefinition):
        return mbconv_space(definition, resolution, classes, source=source)
    return blocks_space(definition, resolution, classes, source=source)
