"""`Space`: decisions, and the network that a choice for each of them makes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hwnas.arrays import Archs, Values
from hwnas.errors import ArchError, whole
from hwnas.graph.graph import Graph, Op, Shape
from hwnas.space.ref import SpaceRef
from hwnas.space.transitions import Transitions


class Encoding(NamedTuple):
    """What surrogates see of N archs.

    Attributes:
        taken: (N, F) of 0 and 1: which choices were taken.
        numbers: (N, G) what else may matter, such as the depth.
    """

    taken: Values
    numbers: Values


@dataclass(frozen=True)
class Decision:
    """One decision of a space.

    Attributes:
        labels: of its choices, as people read them.
    """

    labels: tuple[str, ...]


class Space(ABC):
    """A search space. An arch is an int vector (L,), the index of a choice for each decision; a batch is (N, L).

    What an own space has to say is abstract here; the rest follows.

    Attributes:
        name: what people call it.
        source: what ``get_space`` takes to make it again: a name, or the path of a YAML file.
        inherits: whether its networks keep what those with inherited weights must.
    """

    name: str
    source: str
    inherits: bool = False

    def __repr__(self) -> str:
        kept = " (what inherited weights need is kept)" if self.inherits else ""
        return f"<{type(self).__name__} {self.ref}{kept}: {self.num_layers} decisions, {self.size:,} archs>"

    @property
    @abstractmethod
    def ref(self) -> SpaceRef:
        """What is made of this space says so by this; ``get_space`` takes it."""

    @property
    @abstractmethod
    def decisions(self) -> tuple[Decision, ...]:
        """L of them."""

    @abstractmethod
    def graph(self, arch: npt.ArrayLike) -> Graph:
        """The network of an arch (L,).

        Raises:
            ArchError: the arch isn't one of this space.
        """

    @abstractmethod
    def transitions(self) -> Transitions | None:
        """The network decision by decision; None for a space without a small state, which is asked arch by arch."""

    @property
    @abstractmethod
    def distinct_ops(self) -> tuple[Op, ...]:
        """Every Op of the space, once each."""

    def inheriting(self) -> Space:
        """The same space with what networks must keep whose weights are inherited from a supernet; often itself."""
        return self

    def plain(self) -> Space:
        """The same space without that."""
        return self

    @property
    @abstractmethod
    def in_shape(self) -> Shape:
        """Of an image that goes in."""

    def canonical(self, archs: Archs) -> Archs:
        """(N, L) archs, those that are the same network made the same vector, so that a search pays for one of them.

        Here each stands for itself: in a chain, skips elsewhere among equal layers leave other weights.
        """
        return archs

    def encode(self, archs: Archs) -> Encoding:
        """What surrogates see of (N, L) archs."""
        most = int(self.num_choices.max())
        taken = (archs[:, :, None] == np.arange(most)).reshape(len(archs), self.num_layers * most)
        return Encoding(taken.astype(np.float64), np.empty((len(archs), 0)))

    @property
    def resolution(self) -> int:
        """Input height and width in pixels."""
        return self.ref.resolution

    @property
    def classes(self) -> int:
        """Outputs of the classifier."""
        return self.ref.classes

    @property
    def fingerprint(self) -> str:
        """Two spaces with equal ones have the same archs and networks."""
        return self.ref.fingerprint

    @property
    def num_layers(self) -> int:
        """L, the number of decisions."""
        return len(self.decisions)

    @cached_property
    def num_choices(self) -> npt.NDArray[np.int64]:
        """(L,) how many choices each decision has."""
        return np.array([len(decision.labels) for decision in self.decisions], dtype=np.int64)

    @property
    def size(self) -> int:
        """How many archs there are (exact)."""
        return prod(len(decision.labels) for decision in self.decisions)

    def sample(self, count: int, seed: int | np.random.Generator) -> Archs:
        """``count`` archs, uniform over the space with replacement: (count, L).

        Raises:
            InputError: a count or a seed that is negative or too large.
        """
        rng = np.random.default_rng(seed if isinstance(seed, np.random.Generator) else whole("seed", seed))
        count = whole("count", count, 0, 10**8)
        return rng.integers(0, self.num_choices, size=(count, self.num_layers), dtype=np.int64)

    def check(self, archs: npt.ArrayLike) -> Archs:
        """``archs`` as an int64 array (N, L); one arch of shape (L,) becomes (1, L).

        Raises:
            ArchError: not integers, wrong length, or a choice that the decision doesn't have.
        """
        try:
            array = np.asarray(archs)
        except ValueError:
            raise ArchError(f"archs of {self.name} must all have {self.num_layers} choices") from None
        if array.dtype.kind not in "iu":
            raise ArchError(f"an arch of {self.name} is {self.num_layers} integers, got an array of {array.dtype}")
        array = np.atleast_2d(array).astype(np.int64, copy=False)
        if array.ndim != 2 or array.shape[1] != self.num_layers:
            raise ArchError(f"an arch of {self.name} has {self.num_layers} choices, got {array.shape[-1]}")
        wrong = (array < 0) | (array >= self.num_choices)
        if wrong.any():
            row, layer = np.argwhere(wrong)[0]
            raise ArchError(self._out_of_range(int(layer), int(array[row, layer])))
        return array

    def _out_of_range(self, decision: int, choice: int) -> str:
        count = self.num_choices[decision]
        return f"choice {choice} at layer {decision} of {self.name} is out of range; take 0 to {count - 1}"
