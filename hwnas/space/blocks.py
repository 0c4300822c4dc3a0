"""Chains of any blocks, as people describe them in YAML: which kinds, and values of their fields to choose among."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from hwnas.errors import SpaceError
from hwnas.files import read_yaml, validated
from hwnas.graph.graph import Op, Shape, field_types
from hwnas.ops.identity import Identity
from hwnas.ops.stabilizer import Stabilizer
from hwnas.space.chain import ChainSpace
from hwnas.space.ref import BlocksDefinition

_CHANNELS = 3  # of images
_MOST_CHOICES = 1000  # of a layer
_MOST_IN_ALL = 50_000


def blocks_space(
    said: BlocksDefinition, resolution: int | None = None, classes: int | None = None, *, source: str | None = None
) -> ChainSpace:
    """The space that is described.

    A layer's choices are numbered in the order in which the block declares its fields, the last of them fastest; the
    skip comes last. On images it is a stabilizer, on tokens an identity (:class:`hwnas.ops.Identity` says why).

    Args:
        said: the description.
        resolution: input size in pixels; as described when None.
        classes: outputs; as described when None.
        source: path of the YAML file that said it; None where the space's name says everything.

    Raises:
        SpaceError: a kind is unknown, a field is missing, unknown or wrong, shapes don't fit together; the place in the
            description is named.
    """
    size, outputs = resolution or said.resolution, classes or said.classes
    stem = _only(said.stem, (_CHANNELS, size, size), f"{said.name}: stem")
    shape, layers, total = stem.out_shape, [], 0
    for index, stage in enumerate(said.stages):
        for _ in range(stage.layers):
            where = f"{said.name}: stages.{index}.block"
            choices = tuple(op for block in stage.blocks for op in _choices(block, shape, where))
            given = {op.out_shape: op for op in choices}
            if len(given) > 1:
                one, other = list(given.values())[:2]
                raise SpaceError(f"{where}: the choices of a layer give one shape, [{one}] and [{other}] don't")
            if twice := [op for op in choices if choices.count(op) > 1]:
                raise SpaceError(f"{where}: a layer has the choice [{twice[0]}] twice")
            if (total := total + len(choices)) > _MOST_IN_ALL:
                raise SpaceError(f"{where}: {total:,} choices are more than {_MOST_IN_ALL:,}; give fewer")
            keeps_shape = choices[0].out_shape == shape
            layers.append((*choices, _skip(shape)) if stage.skip and keeps_shape else choices)
            shape = choices[0].out_shape
    if "c_out" in said.head:
        raise SpaceError(f"{said.name}: head: c_out is the number of classes; leave it out")
    head = _only({**said.head, "c_out": outputs}, shape, f"{said.name}: head")
    if head.out_shape != (outputs,):
        raise SpaceError(f"{said.name}: head: {head.out_shape} comes out, where {outputs} classes were asked")
    return ChainSpace(
        name=said.name,
        source=source or said.name,
        stem=stem,
        layers=tuple(layers),
        head=head,
        definition=said if source else None,
    )


def _choices(fields: Mapping[str, Any], shape: Shape, where: str) -> tuple[Op, ...]:
    """Each value of a block's fields with each of the others'."""
    kind = "module" if "module" in fields and "kind" not in fields else fields.get("kind")
    cls = Op.of_kind(kind) if isinstance(kind, str) else None
    try:
        if cls is None:
            return (Op.from_dict(dict(fields)),)  # which says what is wrong with it
        order = [name for name in field_types(cls) if name in fields]
        order += [name for name in fields if name not in order]
        values = [each if isinstance(each := fields[name], tuple) else (each,) for name in order]
        if (count := prod(map(len, values))) > _MOST_CHOICES:
            raise SpaceError(f"{count:,} choices of a layer are more than {_MOST_CHOICES:,}; give fewer values")
        for name, several in zip(order, values, strict=True):
            if len(set(several)) < len(several):
                raise SpaceError(f"{name} has a value twice: {list(several)}")
        return tuple(cls.made(shape, dict(zip(order, row, strict=True))) for row in product(*values))
    except SpaceError as error:
        raise SpaceError(f"{where}: {error}") from None


def _only(fields: Mapping[str, Any], shape: Shape, where: str) -> Op:
    """A block that leaves nothing to choose."""
    if several := [name for name, value in fields.items() if isinstance(value, tuple)]:
        raise SpaceError(f"{where}: {several[0]} takes one value, only the blocks of stages choose")
    return _choices(fields, shape, where)[0]


def _skip(shape: Shape) -> Op:
    if len(shape) == 3:
        return Stabilizer(c_out=shape[0], **Stabilizer.taking(shape))
    return Identity(shape=shape)


def vit_tiny(resolution: int | None = None, classes: int | None = None) -> ChainSpace:
    """A small vision transformer's depth, heads and MLP ratios, as ``vit-tiny.yaml`` beside this file has them."""
    path = Path(__file__).with_name("vit-tiny.yaml")
    said = validated(BlocksDefinition, read_yaml(path, SpaceError), path, SpaceError)
    return blocks_space(said, resolution, classes)
