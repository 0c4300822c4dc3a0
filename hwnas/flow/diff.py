"""`diff`: two models run side by side on the same inputs, and the first node whose output isn't the same."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np

from hwnas.arguments import checked
from hwnas.arrays import Array, Port
from hwnas.artifacts.counterparts import Pair, counterparts, finite_parts, flat, in_layout_of, is_told
from hwnas.artifacts.parity import Nearness, nearness
from hwnas.errors import ConfigError, DataError, ModelError, first_line, unknown, whole
from hwnas.files import plain_file
from hwnas.flow.diff_side import Side, fed, feeds_of, matched_inputs, open_side
from hwnas.flow.model import ModelLike
from hwnas.onnx.model import Shapes
from hwnas.onnx.observe import INPUT, Feed, Observation, Observed
from hwnas.onnx.stand_in import stand_in
from hwnas.records.diff import DiffRecord, DiffSide, NodeValue, ValueDiff
from hwnas.records.target import Precision, get_target

_TOLERANCE_OF: dict[Precision, str] = {
    "fp32": "onnx-fp32", "fp16": "onnx-fp16", "bf16": "openvino-bf16", "int8": "onnx-int8-cpu",
}  # fmt: skip
"""{precision, from the finest to the coarsest: the target whose tolerance holds for it}."""
_MOST_FEEDS = 1000


@checked
def diff(
    a: ModelLike,
    b: ModelLike,
    *,
    runtime_a: str | None = None,
    runtime_b: str | None = None,
    inputs: Path | str | None = None,
    shapes: Shapes | None = None,
    feeds: int = 4,
    seed: int = 0,
    tolerance: float | None = None,
) -> DiffRecord:
    """Run two models on the same inputs and hold every value of one against its counterpart in the other.

    All values of both lie in memory at once, for all inputs.

    Args:
        a: the one that is taken to be right: what :func:`hwnas.flow.model.open_model` takes, an artifact or one of its
            files, a MODEL folder, a network of hwnas.
        b: the other.
        runtime_a: what runs a, as it fuses and computes it. None: an ONNX file node by node as it stands there, a MODEL
            folder in PyTorch, OpenVINO's files in OpenVINO.
        runtime_b: what runs b, likewise.
        inputs: an .npz file with an array for each of a's inputs: of the input's shape, or so many of them one behind
            the other. None: images that a model comes with, an artifact's or those
            that a network was tested with, else stand-ins.
        shapes: {input of a or b: its shape}, of those that a model leaves open.
        feeds: how many stand-ins; with one nothing can be said of what tells inputs apart.
        seed: of stand-ins.
        tolerance: largest difference over the largest magnitude; that of the coarser precision's target if not given.

    Raises:
        ModelError: a model can't be read or run, or they take other inputs or give other outputs than each other.
        ConfigError: a runtime that doesn't show its values, or a tolerance or a number that makes no sense.
        DataError: ``inputs`` can't be read or don't fit.
        RuntimeMissingError: a runtime isn't here.
    """
    seed, feeds = whole("seed", seed), whole("feeds", feeds, 1, _MOST_FEEDS)
    if tolerance is not None and not 0 < tolerance < 1:
        raise ConfigError(f"a tolerance is a share of the largest magnitude, above 0 and below 1, not {tolerance}")
    sides = open_side(a, runtime_a, shapes or {}), open_side(b, runtime_b, shapes or {})
    for name in shapes or {}:
        if name not in (known := [port.name for side in sides for port in side.ports]):
            raise ModelError(unknown("input", name, list(dict.fromkeys(known))))
    matched = matched_inputs(*sides)
    given, source = _given(sides, inputs, feeds, seed)
    given_b = [fed(*sides, feed) for feed in given]  # so that what doesn't fit is told before anything runs
    observed = sides[0].observe(given), sides[1].observe(given_b)
    usual = _usual(sides)
    pairs = counterparts(*observed, matched, max(usual.relative, tolerance or 0))
    if not pairs:
        raise ModelError(f"{sides[0].model} and {sides[1].model} have no values in common that could be compared")
    allowed = usual if tolerance is None else _Allowed(tolerance, None)
    values = [_value_diff(observed, pair, allowed) for pair in pairs]
    over = next((index for index, value in enumerate(values) if not value.within), None)
    paired = {pair.a for pair in pairs}, {pair.b for pair in pairs}
    return DiffRecord(
        a=_told(sides[0], observed[0], paired[0]),
        b=_told(sides[1], observed[1], paired[1]),
        relative=allowed.relative, sqnr_db=allowed.sqnr_db, inputs=source, feeds=len(given),
        values=tuple(values),
        first=None if over is None else values[over],
        before=() if over is None else tuple(values[index] for index in _before(observed[1], pairs, over)),
        worst=max(values, key=lambda value: np.inf if value.max_relative is None else value.max_relative),
    )  # fmt: skip


class _Allowed(NamedTuple):
    relative: float
    sqnr_db: float | None


def _given(sides: tuple[Side, Side], inputs: Path | str | None, feeds: int, seed: int) -> tuple[list[Feed], str]:
    """Feeds of a, and where they came from."""
    a = sides[0]
    if inputs is not None:
        return _read_feeds(Path(inputs), a), str(inputs)
    for side in sides:
        if side.images is not None:
            return feeds_of(a, side.images), side.source
    rng = np.random.default_rng(seed)
    return [{port.name: stand_in(port, rng) for port in a.ports} for _ in range(feeds)], f"stand-ins of seed {seed}"


def _read_feeds(path: Path, side: Side) -> list[Feed]:
    try:
        with np.load(plain_file(path, DataError), allow_pickle=False) as file:
            arrays = dict(file) if isinstance(file, np.lib.npyio.NpzFile) else {}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise DataError(f"{path} can't be read as an .npz file: {first_line(error)}") from None
    found = {}
    for port in side.ports:
        if port.name not in arrays:
            raise DataError(f"{path} has no array for the input {port.name}; it has {', '.join(arrays) or 'none'}")
        found[port.name] = _parted(arrays[port.name], port, path)
    if len(counts := {len(parts) for parts in found.values()}) != 1:
        raise DataError(
            f"{path} has inputs for {' and '.join(map(str, sorted(counts)))} inferences; give as many of each"
        )
    return [dict(zip(found, parts, strict=True)) for parts in zip(*found.values(), strict=True)]


def _parted(array: Array, port: Port, path: Path) -> list[Array]:
    """One for each inference."""
    batch, *rest = port.shape or (1,)
    inferences, left = divmod(len(array), batch) if array.ndim else (1, 0)
    if array.shape[1:] != tuple(rest) or left or not inferences or array.dtype.kind not in "fiub":
        raise DataError(
            f"{path} has {port.name} {array.dtype} {'x'.join(map(str, array.shape))}, the model takes {port.dtype} "
            f"{'x'.join(map(str, port.shape))}, or several of them one behind the other"
        )
    return [part.reshape(port.shape).astype(port.dtype) for part in np.split(array.reshape(-1, *rest), inferences)]


def _usual(sides: tuple[Side, Side]) -> _Allowed:
    """What is allowed where nobody says: of the coarser of the two."""
    coarser = max((side.precision for side in sides), key=list(_TOLERANCE_OF).index)
    tolerance = get_target(_TOLERANCE_OF[coarser]).tolerance
    return _Allowed(tolerance.relative, tolerance.sqnr_db)


def _before(b: Observation, pairs: Sequence[Pair], over: int) -> list[int]:
    """Of what pair ``over`` was computed of the nearest that have counterparts, on each way that leads to it."""
    at = {value.name: index for index, value in enumerate(b)}
    paired = {pair.b: index for index, pair in reversed(list(enumerate(pairs)))}
    found: set[int] = set()
    waiting, seen = list(b[pairs[over].b].reads), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if at[name] in paired:
            found.add(paired[at[name]])
        else:
            waiting += b[at[name]].reads
    return sorted(found)


def _told(side: Side, observed: Observation, paired: Collection[int]) -> DiffSide:
    told = [(index, value) for index, value in enumerate(observed) if is_told(value) and value.op != INPUT]
    return DiffSide(
        model=side.model, runtime=side.runtime, precision=side.precision,
        alone=tuple(value.name for index, value in told if index not in paired),
        first_not_finite=next((node for _, value in told if not (node := _node(value)).finite), None),
    )  # fmt: skip


def _node(value: Observed) -> NodeValue:
    return NodeValue(value=value.name, node=value.node, op=value.op, finite=bool(np.isfinite(value.array).all()))


def _value_diff(observed: tuple[Observation, Observation], pair: Pair, allowed: _Allowed) -> ValueDiff:
    a, b = observed[0][pair.a], observed[1][pair.b]
    parts = finite_parts(flat(a.array), in_layout_of(a.array, b.array))
    near = nearness(*parts) if parts else None
    within = near is not None and near.max_relative <= allowed.relative
    if near is not None and near.sqnr_db is not None and allowed.sqnr_db is not None:
        within = within and near.sqnr_db >= allowed.sqnr_db
    found = near._asdict() if near else dict.fromkeys(Nearness._fields)
    return ValueDiff(a=_node(a), b=_node(b), by=pair.by, within=within, **found)
