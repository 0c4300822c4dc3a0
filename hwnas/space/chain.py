"""`ChainSpace`: a stem, choice layers and a head, one behind the other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Archs, Flags
from hwnas.errors import SpaceError
from hwnas.graph.foldable import entry_of, exit_of, is_identity, is_linear
from hwnas.graph.graph import Graph, Op, Shape, chain
from hwnas.ops.head import Head
from hwnas.ops.stem import Stem
from hwnas.space.ref import Definition, SpaceRef
from hwnas.space.space import Decision, Encoding, Space
from hwnas.space.transitions import Bundle, Transitions

Choices = Callable[[int, int, int, int], tuple[Op, ...]]
"""(c_in, size_px, c_out, stride) -> the choices of one layer, in the order of their indices."""

# What lies behind a layer, as far as a stabilizer in front of it is concerned:
_FOLDS = 0  # a 1×1 convolution in front of it folds into it: the head, a block without residual, skips before these
_BLOCK = 1  # a block that it doesn't fold into
_RUN = 2  # a skip, the first of a run in front of such a block


@dataclass(frozen=True, kw_only=True)
class Stage:
    """``layers`` choice layers of ``c_out`` channels; the first of them has ``stride``."""

    c_out: int
    layers: int
    stride: int


@dataclass(frozen=True, kw_only=True, repr=False)
class ChainSpace(Space):
    """A search space of choice layers.

    A run of skips between two blocks is one 1×1 convolution, the product of its stabilizers. It folds exactly into the
    block behind it if that starts with a 1×1 convolution and has no residual, else into the block before it if that
    ends in one and has no residual. Otherwise a network with inherited weights keeps it (SCARLET-NAS §3.2 says it adds
    no capacity, which holds for a plain chain of layers; a residual on both sides breaks that).

    Attributes:
        name: what people call it.
        source: what ``get_space`` takes to make it again: a name, or the path of a YAML file.
        stem, head: the fixed Ops around the choice layers.
        layers: for each choice layer its Ops, by choice index. A skip is an Op that ``skips``; one that is an identity
            has no weights, and so nothing that a network would keep.
        definition: what its YAML file said; None where the name says everything.
        inherits: whether networks keep the stabilizers that don't fold, as those with inherited weights do.
    """

    name: str
    source: str
    stem: Op
    layers: tuple[tuple[Op, ...], ...]
    head: Op
    definition: Definition | None = field(default=None, compare=False)
    inherits: bool = False

    @cached_property
    def ref(self) -> SpaceRef:
        """The fingerprint is the SHA-256 of all Ops."""
        ops = [[op.to_dict() for op in group] for group in ((self.stem,), *self.layers, (self.head,))]
        return SpaceRef(
            source=self.source,
            resolution=self.resolution,
            classes=self.classes,
            fingerprint=hashlib.sha256(json.dumps(ops, sort_keys=True).encode()).hexdigest(),
            definition=self.definition,
        )

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        return tuple(Decision(tuple(op.short for op in choices)) for choices in self.layers)

    @property
    def in_shape(self) -> Shape:
        return self.stem.in_shapes[0]

    @property
    def resolution(self) -> int:
        return self.in_shape[1]

    @property
    def classes(self) -> int:
        return self.head.out_shape[0]

    @cached_property
    def distinct_ops(self) -> tuple[Op, ...]:
        """Every Op of the space, once each, in order; stabilizers are among them also where networks keep none."""
        chosen = (op for choices in self.layers for op in choices if not is_identity(op))
        return tuple(dict.fromkeys((self.stem, *chosen, self.head)))

    def graph(self, arch: npt.ArrayLike) -> Graph:
        """The network of ``arch``; places are ``stem``, ``layers.3`` and ``head``, and skipped layers aren't there."""
        (choices,) = self.check(arch)
        return chain(self.in_shape, self._transitions.network(choices))

    def transitions(self) -> Transitions:
        return self._transitions

    def inheriting(self) -> ChainSpace:
        return replace(self, inherits=True)

    def plain(self) -> ChainSpace:
        """The same space with networks that keep no stabilizers."""
        return replace(self, inherits=False)

    def with_classes(self, classes: int) -> ChainSpace:
        """The same space with another number of outputs."""
        return replace(self, head=Op.from_dict({**self.head.to_dict(), "c_out": classes}))

    def encode(self, archs: Archs) -> Encoding:
        return super().encode(archs)._replace(numbers=self.depth(archs)[:, None].astype(np.float64))

    def depth(self, archs: Archs) -> npt.NDArray[np.int64]:
        """(N,) how many choices of (N, L) archs are blocks: a skip isn't, nor is what only changes the shape."""
        depths: npt.NDArray[np.int64] = self._is_block[np.arange(archs.shape[1]), archs].sum(axis=1)
        return depths

    @cached_property
    def _is_block(self) -> Flags:
        found = np.zeros((self.num_layers, int(self.num_choices.max())), dtype=np.bool_)
        for layer, choices in enumerate(self.layers):
            found[layer, : len(choices)] = [not is_linear(op) for op in choices]
        return found

    @cached_property
    def _transitions(self) -> Transitions:
        states = 3 if self.inherits else 1
        layers, choices = self.num_layers, int(self.num_choices.max())
        following = np.zeros((layers, choices, states), dtype=np.intp)
        bundles: list[tuple[tuple[Bundle | None, ...], ...]] = []
        for layer, ops in enumerate(self.layers):
            of_choices: list[tuple[Bundle | None, ...]] = []
            for index, op in enumerate(ops):
                here: list[Bundle] = [() if op.skips else ((f"layers.{layer}", op),)] * states
                if is_identity(op):
                    following[layer, index] = np.arange(states)  # what lies behind it lies behind what is before it
                elif self.inherits and op.skips:
                    following[layer, index] = _FOLDS, _RUN, _RUN
                elif self.inherits:
                    following[layer, index] = _FOLDS if entry_of(op) is not None else _BLOCK
                    here[_RUN] += self._kept_behind(op, layer)
                of_choices.append(tuple(here))
            of_choices += [(None,) * states] * (choices - len(ops))
            bundles.append(tuple(of_choices))
        end: list[Bundle] = [(("stem", self.stem),)] * states
        if self.inherits:
            end[_RUN] += self._kept_behind(self.stem, -1)
        return Transitions(tuple(bundles), following, (("head", self.head),), tuple(end))

    def _kept_behind(self, op: Op, layer: int) -> Bundle:
        """The stabilizer that stays where a run of skips begins behind ``op``; none folds into what lies behind it."""
        if exit_of(op) is not None or layer + 1 == self.num_layers:
            return ()
        skips = [choice for choice in self.layers[layer + 1] if choice.skips and not is_identity(choice)]
        return tuple((f"layers.{layer + 1}", skip) for skip in skips)

    def _out_of_range(self, decision: int, choice: int) -> str:
        count = len(self.layers[decision])
        if choice == count < max(self.num_choices):
            return (
                f"choice {choice} (skip) is barred at layer {decision} of {self.name}, which changes the shape; "
                f"take 0 to {count - 1}"
            )
        return super()._out_of_range(decision, choice)


def assemble(
    *,
    name: str,
    source: str,
    stem: Stem,
    stages: Sequence[Stage],
    choices: Choices,
    head_width: int,
    classes: int,
    act: str,
    definition: Definition | None = None,
) -> ChainSpace:
    """Chain stem, stages and head into a space.

    Raises:
        SpaceError: the resolution is below the network's total stride.
    """
    total_stride = prod([stem.stride, *(stage.stride for stage in stages)])
    if stem.h_in < total_stride:
        raise SpaceError(f"resolution {stem.h_in} doesn't fit {name}; take at least {total_stride}, its total stride")
    channels, size, _ = stem.out_shape
    layers = []
    for stage in stages:
        for index in range(stage.layers):
            stride = stage.stride if index == 0 else 1
            layers.append(choices(channels, size, stage.c_out, stride))
            channels, size = stage.c_out, -(-size // stride)
    head = Head(c_in=channels, h_in=size, w_in=size, c_out=classes, width=head_width, act=act)
    return ChainSpace(name=name, source=source, stem=stem, layers=tuple(layers), head=head, definition=definition)
