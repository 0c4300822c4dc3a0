"""Which values of one model are those of another, whatever became of names, layouts and fused nodes in between.

By name, where the numbers agree; by numbers, of the same size in any order of axes; by name, whatever the numbers; by
the graph: a node that computes of counterparts what another computes of theirs. Casts, quantization, reshapes and
transposes give again what they were given, and are held against that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from itertools import permutations
from typing import NamedTuple

import numpy as np

from hwnas.arrays import Array, Values
from hwnas.errors import ModelError
from hwnas.onnx.observe import INPUT, Observation, Observed
from hwnas.records.diff import By

_GIVES_AGAIN = (
    "Cast", "Dropout", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Squeeze", "Transpose",
    "Unsqueeze", "Convert", "FakeQuantize",
)  # fmt: skip
"""Operators of ONNX and of OpenVINO."""
_NOISE = 0.3
"""Of what is taken to be the same by its numbers alone: root mean square of the difference, over the deviation."""
_MOST_AXES = 4
_CLEARLY = 2
"""By so much nearer is what tells against a name."""


class Pair(NamedTuple):
    """Counterparts: positions in the two observations, and how they were found."""

    a: int
    b: int
    by: By


def counterparts(a: Observation, b: Observation, inputs: Mapping[str, str], relative: float) -> tuple[Pair, ...]:
    """Pairs of floats and of outputs, in the order of ``a``.

    Args:
        a: of some feeds.
        b: of the same feeds.
        inputs: {input of b: that of a}.
        relative: how far numbers may be apart, over the largest, to agree.

    Raises:
        ModelError: the models have no output in common, or outputs of different shapes.
    """
    found = _Pairing(a, b, relative)
    found.inputs(inputs)
    found.outputs()
    found.names()
    found.numbers()
    found.graph()
    pairs = (pair for pair in found.pairs if is_told(a[pair.a]) and is_told(b[pair.b]))
    return tuple(sorted(pair for pair in pairs if {a[pair.a].op, b[pair.b].op} != {INPUT}))


def is_told(value: Observed) -> bool:
    """Whether a value is held against its counterpart: floats are, and whatever a model gives."""
    return value.is_output or np.issubdtype(value.array.dtype, np.floating)


class _Pairing:
    def __init__(self, a: Observation, b: Observation, relative: float) -> None:
        self._a, self._b, self._relative = a, b, relative
        self._at_a = {value.name: index for index, value in enumerate(a)}
        self._at_b = {value.name: index for index, value in enumerate(b)}
        self._source_a, self._source_b = _sources(a), _sources(b)
        self._of_b: dict[int, int] = {}
        self._taken: set[int] = set()
        self.pairs: list[Pair] = []

    def _pair(self, a: int, b: int, by: By) -> None:
        self._of_b[b] = a
        self._taken.add(a)
        self.pairs.append(Pair(a, b, by))

    def _again(self, a: int, b: int) -> None:
        """What b gives again is a's, which has a counterpart already."""
        if _alike(self._a[a].array, self._b[b].array):
            self._of_b[b] = a
            self.pairs.append(Pair(a, b, "graph"))

    def _free(self, a: int, b: int) -> bool:
        """Whether neither has a counterpart, and they might be."""
        return a not in self._taken and b not in self._of_b and _alike(self._a[a].array, self._b[b].array)

    def inputs(self, inputs: Mapping[str, str]) -> None:
        for name, of_a in inputs.items():
            if name in self._at_b and of_a in self._at_a:
                self._pair(self._at_a[of_a], self._at_b[name], "name" if name == of_a else "place")

    def outputs(self) -> None:
        """By name, the others in their order: whatever they hold, outputs are held against each other."""
        in_a, in_b = ([value.name for value in each if value.is_output] for each in (self._a, self._b))
        same: list[tuple[str, str, By]] = [(name, name, "name") for name in in_a if name in in_b]
        others = ([name for name in each if not (name in in_a and name in in_b)] for each in (in_a, in_b))
        same += [(x, y, "place") for x, y in zip(*others, strict=False)]
        if not same:
            raise ModelError(f"the models have no output in common: {', '.join(in_a)}; {', '.join(in_b)}")
        for x, y, by in same:
            a, b = self._at_a[x], self._at_b[y]
            shapes = [value.array.shape[1:] for value in (self._a[a], self._b[b])]
            if not _alike(self._a[a].array, self._b[b].array):
                raise ModelError(f"their outputs {x} and {y} are of shapes {shapes[0]} and {shapes[1]}: not comparable")
            if self._free(a, b):
                self._pair(a, b, by)

    def names(self) -> None:
        """Where the numbers agree. A convolution may have taken in what is behind it, and kept its own name."""
        for name, b in self._at_b.items():
            a = self._at_a.get(name)
            if a is None:
                continue
            maybe = [(a, b), *((x, b) for x in _behind(self._a, a, self._at_b))]
            maybe += [(a, y) for y in _behind(self._b, b, self._at_a)]
            errors = {pair: error for pair in maybe if self._free(*pair) and (error := self._error(*pair)) is not None}
            if errors:
                best = min(errors, key=lambda pair: errors[pair] * (1 if pair == maybe[0] else _CLEARLY))
                self._pair(*best, "name" if best == maybe[0] else "numbers")

    def numbers(self) -> None:
        rms = [[_rms(value.array) for value in each] for each in (self._a, self._b)]
        of_size: dict[int, list[int]] = defaultdict(list)
        for a, value in enumerate(self._a):
            of_size[value.array.size].append(a)
        for b, value in enumerate(self._b):
            source = self._of_b.get(self._at_b[self._source_b[value.name]])
            if b not in self._of_b and source is not None and self._error(source, b) is not None:
                self._again(source, b)
            near = [
                a
                for a in of_size[value.array.size]
                if abs(rms[0][a] - rms[1][b]) <= self._relative * rms[0][a] and self._free(a, b)
            ]
            errors = {a: error for a in near if (error := self._error(a, b)) is not None}
            if errors:
                self._pair(min(errors, key=lambda a: (errors[a], a)), b, "numbers")

    def graph(self) -> None:
        """What is left: by name, and by what it is made of, whatever the numbers."""
        for name, b in self._at_b.items():
            if name in self._at_a and self._free(self._at_a[name], b):
                self._pair(self._at_a[name], b, "name")
        makes: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for a, value in enumerate(self._a):
            makes[self._made_of(value)].append(a)
        counterpart: dict[str, str] = {}
        for b, value in enumerate(self._b):
            source = self._source_b[value.name]
            if b not in self._of_b and source == value.name:
                of = {counterpart.get(self._source_b[name], "") for name in value.reads}
                maybe = [a for a in makes[tuple(sorted(of))] if self._free(a, b)] if "" not in of else []
                if maybe:
                    self._pair(min(maybe, key=lambda a: self._a[a].op != value.op), b, "graph")
            elif b not in self._of_b and source in counterpart:
                self._again(self._at_a[counterpart[source]], b)
            if b in self._of_b:
                counterpart[value.name] = self._source_a[self._a[self._of_b[b]].name]
        of_a = {self._a[a].name: b for b, a in reversed(self._of_b.items())}
        for a, value in enumerate(self._a):
            source = self._source_a[value.name]
            if a not in self._taken and source != value.name and source in of_a:
                self._again(a, of_a[source])

    def _made_of(self, value: Observed) -> tuple[str, ...]:
        return tuple(sorted({self._source_a[name] for name in value.reads}))

    def _error(self, a: int, b: int) -> float | None:
        """Of numbers that agree: how far they are apart in all; else None."""
        reference = self._a[a].array
        errors = (_error(flat(reference), found, self._relative) for found in _layouts(self._b[b].array, reference))
        return min((error for error in errors if error is not None), default=None)


def _behind(of: Observation, index: int, known: Collection[str]) -> Iterator[int]:
    """What is computed of a value alone, one behind the other, as long as the other model knows no such name."""
    while True:
        readers = [reader for reader, value in enumerate(of) if of[index].name in value.reads]
        if len(readers) != 1 or of[readers[0]].name in known:
            return
        index = readers[0]
        yield index


def _sources(of: Observation) -> dict[str, str]:
    """{value: what it gives again, or itself}."""
    found: dict[str, str] = {}
    for value in of:
        found[value.name] = found[value.reads[0]] if value.op in _GIVES_AGAIN and value.reads else value.name
    return found


def _alike(a: Array, b: Array) -> bool:
    floats = [np.issubdtype(each.dtype, np.floating) for each in (a, b)]
    return a.size == b.size and floats[0] == floats[1]


def flat(array: Array) -> Values:
    """(N, …) as (N, K), in double precision."""
    return array.reshape(len(array), -1).astype(np.float64)


def in_layout_of(reference: Array, found: Array) -> Values:
    """``found`` (N, …) as (N, K), its axes in the order in which it is nearest to ``reference`` (N, …)."""
    exact = flat(reference)
    layouts = list(_layouts(found, reference))
    return min(layouts, key=lambda each: _distance(exact, each)) if len(layouts) > 1 else layouts[0]


def _layouts(array: Array, like: Array) -> Iterator[Values]:
    """An array (N, …) as (N, K): as it lies, and with its axes in every order that gives the shape of ``like``."""
    yield flat(array)
    wanted, sizes = (tuple(size for size in each.shape[1:] if size > 1) for each in (like, array))
    if sorted(wanted) == sorted(sizes) and len(sizes) <= _MOST_AXES:
        squeezed = array.reshape(len(array), *sizes)
        for axes in permutations(range(len(sizes))):
            if tuple(sizes[axis] for axis in axes) == wanted and list(axes) != sorted(axes):
                yield flat(squeezed.transpose(0, *(axis + 1 for axis in axes)))


def finite_parts(reference: Values, found: Values) -> tuple[Values, Values] | None:
    """Both with 0 where both have the same infinity or NaN; None where one has what the other hasn't."""
    odd = ~(np.isfinite(reference) & np.isfinite(found))
    if not odd.any():
        return reference, found
    same = (reference == found) | (np.isnan(reference) & np.isnan(found))
    return None if (odd & ~same).any() else (np.where(odd, 0, reference), np.where(odd, 0, found))


def _error(reference: Values, found: Values, relative: float) -> float | None:
    parts = finite_parts(reference, found)
    if parts is None or not parts[0].size:
        return None
    exact, difference = parts[0], np.abs(parts[1] - parts[0])
    noise, deviation = float(np.sqrt(np.square(difference).mean())), float(exact.std())
    agrees = deviation and difference.max() <= relative * np.abs(exact).max() and noise <= _NOISE * deviation
    return noise if agrees else None


def _distance(reference: Values, found: Values) -> float:
    parts = finite_parts(reference, found)
    return float(np.square(parts[0] - parts[1]).sum()) if parts else np.inf


def _rms(array: Array) -> float:
    return float(np.sqrt(np.square(flat(array)).mean())) if array.size else np.nan
