"""The look-up tables of ProxylessNAS (Cai et al., ICLR 2019) and Once-for-All (Cai et al., ICLR 2020).

A mapping from keys to statistics, in YAML or in JSON; a key names an operation and what it looks like, sizes as height
× width × channels::

    expanded_conv-input:112x112x16-output:56x56x24-expand:6-kernel:3-stride:2-idskip:0:
      count: 164
      mean: 6.24
      var: 0.07            # ProxylessNAS; Once-for-All has std, the square root; some have neither

``expand`` is a factor in ProxylessNAS's tables and a number of channels in Once-for-All's, which also say ``se`` (a
squeeze-and-excitation) and ``hs`` (h-swish instead of ReLU). What the keys don't say is in ``ASSUMED``. Parts of the
head (``Conv_1``, ``AvgPool2D``, ``Conv_2``, ``Logits``) are entries of their own there and one Op here; they stay
foreign.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, RootModel, model_validator

from hwnas.errors import SpaceError, TableError
from hwnas.files import read_json, read_yaml, validated
from hwnas.graph.graph import Op
from hwnas.ops.foreign import ForeignOp
from hwnas.ops.mbconv import MBConv
from hwnas.ops.stem import Stem
from hwnas.record import Record
from hwnas.tables.importers.foreign import MS_PER, ForeignEntry, Unit

BlocksFormat = Literal["ofa", "proxylessnas"]

_KEY = re.compile(r"(?P<name>\w+)(?P<fields>(-\w+:\w+)+)")
_BLOCK_FIELDS = {"proxylessnas": {"input", "output", "expand", "kernel", "stride", "idskip"}}
_BLOCK_FIELDS["ofa"] = _BLOCK_FIELDS["proxylessnas"] | {"se", "hs"}
ASSUMED: Mapping[BlocksFormat, str] = {
    "proxylessnas": "Keys don't say activations: ReLU6 everywhere; the first convolution is taken to be 3×3.",
    "ofa": "The first convolution is taken to be 3×3 with h-swish; the width inside the squeeze-and-excitation isn't "
    "said and is a quarter here, which Once-for-All rounds to a multiple of 8.",
}
"""What isn't in the keys and is taken from the networks that the tables are for."""

_STEM_ACT = {"proxylessnas": "relu6", "ofa": "hswish"}


class _Statistics(Record):
    mean: PositiveFloat
    count: PositiveInt
    std: NonNegativeFloat | None = None
    var: NonNegativeFloat | None = None

    @model_validator(mode="after")
    def _one_spread(self) -> _Statistics:
        if self.std is not None and self.var is not None:
            raise ValueError("expected one of std and var")
        return self

    @property
    def deviation(self) -> float | None:
        return math.sqrt(self.var) if self.var is not None else self.std


class _File(RootModel[dict[str, _Statistics]]):
    root: Annotated[dict[str, _Statistics], Field(min_length=1)]


def read_keys(path: Path) -> object:
    """What such a file holds, JSON by its ending or else YAML.

    Raises:
        TableError: it can't be read.
    """
    return (read_json if path.suffix == ".json" else read_yaml)(path, TableError)


def read_blocks(path: Path, form: BlocksFormat, unit: Unit) -> tuple[ForeignEntry, ...]:
    """The entries of such a table, in the file's order.

    Args:
        path: the file.
        form: whose table it is.
        unit: of its means and standard deviations; its variances are in that unit squared.

    Raises:
        TableError: the file can't be read; a key isn't one of such a table or contradicts itself; a number is missing,
            negative or not finite.
    """
    file = validated(_File, read_keys(path), path, TableError)
    return tuple(_entry(path, key, statistics, form, MS_PER[unit]) for key, statistics in file.root.items())


def _entry(path: Path, key: str, statistics: _Statistics, form: BlocksFormat, ms: float) -> ForeignEntry:
    match = _KEY.fullmatch(key)
    if not match:
        raise TableError(f"{path}: {key!r:.200} isn't a key of such a table; expected name-field:value-field:value…")
    fields = dict(field.split(":") for field in match["fields"][1:].split("-"))
    try:
        op = _op(key, match["name"], fields, form)
    except (ValueError, KeyError, SpaceError) as problem:
        what = f"no field {problem}" if isinstance(problem, KeyError) else problem
        raise TableError(f"{path}: {key:.200}: {what}; is it a table of {form}?") from None
    return ForeignEntry(
        text=key,
        op=op,
        mean_ms=statistics.mean * ms,
        spread_ms=None if statistics.deviation is None else statistics.deviation * ms,
        count=statistics.count,
    )


def _op(key: str, name: str, fields: Mapping[str, str], form: BlocksFormat) -> Op:
    if name == "expanded_conv" and (unexpected := fields.keys() ^ _BLOCK_FIELDS[form]):
        raise ValueError(f"field {min(unexpected)!r:.80} is {'unknown' if min(unexpected) in fields else 'missing'}")
    h_in, w_in, c_in = _shape(fields["input"])
    if name not in ("expanded_conv", "Conv"):
        c_out = _whole(fields["output"].split("x")[-1])
        return ForeignOp(c_in=c_in, h_in=h_in, w_in=w_in, c_out=c_out, text=key)
    h_out, w_out, c_out = _shape(fields["output"])
    op: Op
    if name == "Conv":
        act, stride = _STEM_ACT[form], round(h_in / h_out)
        op = Stem(c_in=c_in, h_in=h_in, w_in=w_in, c_out=c_out, width=c_out, stride=stride, separable=False, act=act)
    else:
        op = MBConv(
            c_in=c_in, h_in=h_in, w_in=w_in, c_out=c_out,
            kernel=_whole(fields["kernel"]),
            stride=_whole(fields["stride"]),
            expansion=_whole(fields["expand"]) / (c_in if form == "ofa" else 1),
            se=_flag(fields.get("se", "0")),
            act=("hswish" if _flag(fields["hs"]) else "relu") if form == "ofa" else "relu6",
        )  # fmt: skip
        if op.residual != _flag(fields["idskip"]):
            raise ValueError(f"idskip is {fields['idskip']}, which a block of this shape and stride can't have")
    if op.out_shape != (c_out, h_out, w_out):
        raise ValueError(f"output is {fields['output']}, which doesn't follow from input and stride")
    return op


def _shape(text: str) -> tuple[int, ...]:
    sizes = [_whole(size) for size in text.split("x")]
    if len(sizes) != 3:
        raise ValueError(f"expected height x width x channels, got {text!r:.80}")
    return tuple(sizes)


def _whole(text: str) -> int:
    if not text.isdecimal() or len(text) > 9 or int(text) == 0:
        raise ValueError(f"expected a positive whole number, got {text!r:.80}")
    return int(text)


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(f"expected 0 or 1, got {text!r:.80}")
    return text == "1"
