"""True accuracies of archs: files of them, hwnas's own and NAS-Bench-Macro's.

A CSV file has a row per arch, ``SPACE:i,j,k,…`` or its choices alone, and a column per training::

    arch,accuracy_1,accuracy_2
    "macro:0,2,0,1,2,1,0,0",0.9121,0.9098

A JSON file (``.json``, or ``.json.gz``) maps archs to an accuracy, to a list of accuracies of as many trainings, or to
``{"test_acc": [percent, …], …}``, which is NAS-Bench-Macro's form (Su et al., CVPR 2021); there an arch is a digit a
layer. Everywhere else accuracies are fractions of 1.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.arrays import Archs, Values
from hwnas.errors import ArchError, DataError, SpaceError, shown
from hwnas.files import MOST_BYTES, plain_file, read_text, write_atomic
from hwnas.parse import parse_json
from hwnas.space.arch import Arch
from hwnas.space.chain import ChainSpace
from hwnas.space.registry import get_space

_SIZES = ("c_in", "h_in", "w_in", "c_out")
_Row = tuple[str, str, list[float]]
"""(where it stands, the arch's text, accuracies)"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """True accuracies.

    Attributes:
        archs: (N, L) different ones, in lexicographic order.
        accuracies: (N, R) in [0, 1] of R trainings of each.
    """

    archs: Archs
    accuracies: Values

    def sample(self, count: int, seed: int) -> Truth:
        """``count`` of the archs, at random; with the same seed a larger sample holds the smaller ones."""
        rows = np.sort(np.random.default_rng(seed).permutation(len(self.archs))[:count])
        return Truth(archs=self.archs[rows], accuracies=self.accuracies[rows])


def read_truth(path: Path, space: ChainSpace) -> Truth:
    """The accuracies of archs of ``space`` that a file holds.

    Raises:
        DataError: the file can't be read, isn't of one of the forms above, is of archs of another space, has an arch
            twice, or has an accuracy that isn't a number in its range.
    """
    content = _content(path)
    if path.name.endswith((".json", ".json.gz")):
        rows = list(_json_rows(content, path))
    elif path.name.endswith(".csv"):
        rows = list(_csv_rows(content, path))
    else:
        raise DataError(f"{path}: true accuracies are in a .csv, .json or .json.gz file")
    if not rows:
        raise DataError(f"{path} holds no arch")
    archs = _archs(rows, space, path)
    first, _, like = rows[0]
    found: dict[tuple[int, ...], tuple[str, list[float]]] = {}
    for arch, (where, _, accuracies) in zip(archs, rows, strict=True):
        if arch in found:
            raise DataError(f"{path}: {where}: the arch stands there already at {found[arch][0]}; keep one")
        if len(accuracies) != len(like):
            raise DataError(f"{path}: {where}: {len(accuracies)} accuracies, but {len(like)} at {first}")
        found[arch] = where, accuracies
    ordered = sorted(found)
    return Truth(
        archs=np.array(ordered, dtype=np.int64),
        accuracies=np.array([found[arch][1] for arch in ordered], dtype=np.float64),
    )


def write_truth(path: Path, space: ChainSpace, accuracies: dict[tuple[int, ...], float]) -> None:
    """Write choices -> accuracy of one training as CSV, in lexicographic order.

    Raises:
        OutputError: the folder isn't writable or the disk is full.
    """
    rows = [(str(Arch(space, arch)), accuracies[arch]) for arch in sorted(accuracies)]
    write_atomic(path, to_csv(["arch", "accuracy"], rows))


def to_csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The text of a CSV file; texts with commas are quoted."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()


def same_choices(a: ChainSpace, b: ChainSpace) -> bool:
    """Whether the archs of two spaces are the same, layer by layer; channels and resolution may differ."""
    return _kinds(a) == _kinds(b)


def _kinds(space: ChainSpace) -> list[list[dict[str, Any]]]:
    return [
        [{key: value for key, value in op.to_dict().items() if key not in _SIZES} for op in choices]
        for choices in space.layers
    ]


def _content(path: Path) -> str:
    if path.suffix != ".gz":
        return read_text(path, DataError)
    try:
        with gzip.open(plain_file(path, DataError)) as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise DataError(f"{path} would unpack to more than {MOST_BYTES >> 20} MB; that is no such file")
        return data.decode("utf-8-sig")
    except (EOFError, OSError, zlib.error):  # gzip's own are OSErrors
        raise DataError(f"{path} isn't a whole gzip file") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} isn't UTF-8 text") from None


def _json_rows(content: str, path: Path) -> Iterator[_Row]:
    data = parse_json(content, path, DataError)
    if not isinstance(data, dict):
        raise DataError(f"{path}: expected an object of archs and their accuracies")
    for arch, value in data.items():
        text, percent = arch, isinstance(value, dict)
        if isinstance(value, dict):
            if "test_acc" not in value:
                raise DataError(f"{path}: {arch}: test_acc is missing")
            text, value = f"macro:{arch}", value["test_acc"]
        values = value if isinstance(value, list) else [value]
        if not values:
            raise DataError(f"{path}: {arch}: no accuracy")
        field = f"{path}: {arch}: {'test_acc' if percent else 'accuracy'}"
        yield arch, text, [_accuracy(v, field, percent=percent) for v in values]


def _csv_rows(content: str, path: Path) -> Iterator[_Row]:
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    try:
        head = next(reader, [])
        columns = head[1:]
        if head[:1] != ["arch"] or not columns or not all(re.fullmatch(r"accuracy(_\d+)?", name) for name in columns):
            raise DataError(f"{path}: the first line must be 'arch,accuracy' or 'arch,accuracy_1,accuracy_2,…'")
        for cells in reader:
            where = f"line {reader.line_num}"
            if len(cells) != len(head):
                raise DataError(f'{path}: {where}: {len(cells)} cells, expected {len(head)}; quote archs: "0,1,2"')
            yield where, cells[0], [
                _accuracy(_number(cell), f"{path}: {where}: {name}")
                for name, cell in zip(columns, cells[1:], strict=True)
            ]  # fmt: skip
    except csv.Error as problem:
        raise DataError(f"{path}: line {reader.line_num}: {problem}") from None


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell


def _accuracy(value: Any, field: str, *, percent: bool = False) -> float:
    most = 100 if percent else 1
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most:
        hint = "in percent" if percent else "a fraction of 1, as 0.931 for 93.1 %"
        raise DataError(f"{field}: an accuracy is a number from 0 to {most}, {hint}; got {shown(value)}")
    return value / most


def _archs(rows: list[_Row], space: ChainSpace, path: Path) -> list[tuple[int, ...]]:
    """The choices of all rows; what doesn't fit ``space`` is told with how many don't."""
    spaces: dict[str, str | None] = {"": None, space.source: None, space.name: None}  # -> what is wrong with it
    archs: list[tuple[int, ...]] = []
    first, wrong = "", 0
    for where, text, _ in rows:
        try:
            archs.append(_choices(text, space, spaces))
        except ArchError as problem:
            first, wrong = first or f"{where}: {problem}", wrong + 1
    if wrong:
        raise DataError(f"{path}: {wrong} of {len(rows)} archs aren't archs of the supernet's {space.name}; {first}")
    return archs


def _choices(text: str, space: ChainSpace, spaces: dict[str, str | None]) -> tuple[int, ...]:
    source, _, digits = text.rpartition(":")
    if source not in spaces:
        try:
            other = get_space(source)
            spaces[source] = None if same_choices(space, other) else f"{text!r} is of another space, {other.name}"
        except SpaceError as error:
            spaces[source] = str(error)
    if (problem := spaces[source]) is not None:
        raise ArchError(problem)
    if re.fullmatch(r"\d{1,9}(,\d{1,9})*|\d+", digits, re.ASCII) is None:
        raise ArchError(f"{text!r} isn't SPACE:i,j,k,… or its choices")
    choices = tuple(map(int, digits.split(",") if "," in digits else digits))  # without commas, a digit a layer
    space.check(choices)
    return choices
