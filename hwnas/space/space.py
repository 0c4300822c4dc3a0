"""`Space`: the choice layers of a supernet, the fixed layers around them, and the one walk through them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Archs
from hwnas.errors import ArchError, SpaceError
from hwnas.space.op import Head, Op, Stabilizer, Stem
from hwnas.space.ref import SpaceDefinition, SpaceRef

Choices = Callable[[int, int, int, int], tuple[Op, ...]]
"""(c_in, size_px, c_out, stride) -> the choices of one layer, in the order of their indices."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """``layers`` choice layers of ``c_out`` channels; the first of them has ``stride``."""

    c_out: int
    layers: int
    stride: int


@dataclass(frozen=True, kw_only=True)
class Space:
    """A search space.

    Attributes:
        name: what people call it.
        source: what ``get_space`` takes to make it again: a name, or the path of a YAML file.
        stem, head: the fixed Ops around the choice layers.
        layers: for each choice layer its Ops, by choice index. A skip is a ``Stabilizer``.
        definition: what its YAML file said; None where the name says everything.
    """

    name: str
    source: str
    stem: Stem
    layers: tuple[tuple[Op, ...], ...]
    head: Head
    definition: SpaceDefinition | None = field(default=None, compare=False)

    @property
    def ref(self) -> SpaceRef:
        """What is made of this space says so by this; ``get_space`` takes it."""
        return SpaceRef(
            source=self.source,
            resolution=self.resolution,
            classes=self.classes,
            fingerprint=self.fingerprint,
            definition=self.definition,
        )

    @property
    def resolution(self) -> int:
        """Input height and width in pixels."""
        return self.stem.h_in

    @property
    def classes(self) -> int:
        """Outputs of the classifier."""
        return self.head.c_out

    @property
    def num_layers(self) -> int:
        """L, the number of choice layers."""
        return len(self.layers)

    @cached_property
    def num_choices(self) -> npt.NDArray[np.int64]:
        """(L,) how many choices each layer has. Only a skip may be barred, and then the count is one less."""
        return np.array([len(choices) for choices in self.layers], dtype=np.int64)

    @property
    def size(self) -> int:
        """How many archs there are (exact)."""
        return prod(len(choices) for choices in self.layers)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all Ops: two spaces with equal fingerprints have the same archs and networks."""
        ops = [[op.to_dict() for op in group] for group in ((self.stem,), *self.layers, (self.head,))]
        return hashlib.sha256(json.dumps(ops, sort_keys=True).encode()).hexdigest()

    @cached_property
    def distinct_ops(self) -> tuple[Op, ...]:
        """Every Op that a network of this space may contain, once each, in the order of the walk."""
        return tuple(dict.fromkeys((self.stem, *(op for choices in self.layers for op in choices), self.head)))

    def sample(self, count: int, seed: int | np.random.Generator) -> Archs:
        """``count`` archs, uniform over the space with replacement: (count, L)."""
        rng = np.random.default_rng(seed)
        return rng.integers(0, self.num_choices, size=(count, self.num_layers), dtype=np.int64)

    def check(self, archs: npt.ArrayLike) -> Archs:
        """``archs`` as an int64 array (N, L); one arch of shape (L,) becomes (1, L).

        Raises:
            ArchError: not integers, wrong length, or a choice that the layer doesn't have.
        """
        try:
            array = np.asarray(archs)
        except ValueError:
            raise ArchError(f"archs of {self.name} must all have {self.num_layers} choices") from None
        if array.dtype.kind not in "iu":
            raise ArchError(f"an arch of {self.name} is {self.num_layers} integers, got {archs!r}")
        array = np.atleast_2d(array).astype(np.int64, copy=False)
        if array.ndim != 2 or array.shape[1] != self.num_layers:
            raise ArchError(f"an arch of {self.name} has {self.num_layers} choices, got {array.shape[-1]}")
        wrong = (array < 0) | (array >= self.num_choices)
        if wrong.any():
            row, layer = np.argwhere(wrong)[0]
            raise ArchError(self._out_of_range(int(layer), int(array[row, layer])))
        return array

    def _out_of_range(self, layer: int, choice: int) -> str:
        count = len(self.layers[layer])
        if choice == count < max(self.num_choices):
            return (
                f"choice {choice} (skip) is barred at layer {layer} of {self.name}, which changes the shape; "
                f"take 0 to {count - 1}"
            )
        return f"choice {choice} at layer {layer} of {self.name} is out of range; take 0 to {count - 1}"

    def kept_stabilizers(self, archs: Archs) -> npt.NDArray[np.bool_]:
        """Where a network with inherited weights must keep a stabilizer: (N, L), true at a run's first skip.

        A run of skips between two blocks is one 1×1 convolution. It folds exactly into the block behind it
        if that starts with a 1×1 convolution and has no residual, else into the block before it if that ends
        in a convolution and has no residual. Otherwise it stays (SCARLET-NAS §3.2 says it adds no capacity,
        which holds for a plain chain of layers; a residual on both sides breaks that).
        """
        is_skip, before, after = self._folding_rules
        kept = np.zeros(archs.shape, dtype=np.bool_)
        first_skip = np.full(len(archs), -1)
        absorbed = np.full(len(archs), self.stem.absorbs_after)
        for layer, choice in enumerate(archs.T):
            skip = is_skip[layer, choice]
            stays = ~skip & (first_skip >= 0) & ~absorbed & ~before[layer, choice]
            kept[stays, first_skip[stays]] = True
            first_skip = np.where(skip, np.where(first_skip < 0, layer, first_skip), -1)
            absorbed = np.where(skip, absorbed, after[layer, choice])
        return kept  # a run that reaches the head always folds into the head's 1×1 convolution

    @cached_property
    def _folding_rules(self) -> tuple[npt.NDArray[np.bool_], ...]:
        rules = np.zeros((3, self.num_layers, int(max(self.num_choices))), dtype=np.bool_)
        for layer, choices in enumerate(self.layers):
            for index, op in enumerate(choices):
                rules[:, layer, index] = isinstance(op, Stabilizer), op.absorbs_before, op.absorbs_after
        return rules[0], rules[1], rules[2]

    def walk(self, arch: npt.ArrayLike, stabilizers: bool = False) -> Iterator[tuple[str, Op]]:
        """The network of ``arch`` as (place, Op) pairs; a place is ``stem``, ``layers.3`` or ``head``.

        Skipped layers are absent. With ``stabilizers`` the ones that :meth:`kept_stabilizers` names are there.
        """
        (choices,) = self.check(arch)
        kept = self.kept_stabilizers(choices[None])[0]
        yield "stem", self.stem
        for layer, choice in enumerate(choices):
            op = self.layers[layer][choice]
            if not isinstance(op, Stabilizer) or (stabilizers and kept[layer]):
                yield f"layers.{layer}", op
        yield "head", self.head

    def lower(self, arch: npt.ArrayLike, stabilizers: bool = False) -> tuple[Op, ...]:
        """The Ops of ``arch``'s network in order; see :meth:`walk`.

        Raises:
            ArchError: the arch isn't one of this space.
        """
        return tuple(op for _, op in self.walk(arch, stabilizers))


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
    definition: SpaceDefinition | None = None,
) -> Space:
    """Chain stem, stages and head into a Space.

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
    return Space(name=name, source=source, stem=stem, layers=tuple(layers), head=head, definition=definition)
