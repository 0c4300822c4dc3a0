"""``hwnas diff``: where two models part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwnas.cli.console import JsonOption, SeedOption, ShapeOption, parse_shapes, print_result
from hwnas.errors import CheckError, counted

if TYPE_CHECKING:  # imported when the verb runs
    from hwnas.records.diff import DiffRecord, DiffSide, ValueDiff

_MODEL = "An ONNX file, module:callable, an artifact or one of its files, a MODEL folder, or a released name."
_RUNTIME = "What runs {}, as it fuses and computes it; not given: node by node, as the file has it."


def diff(
    a: Annotated[str, typer.Argument(help=f"The one taken to be right. {_MODEL}")],
    b: Annotated[str, typer.Argument(help="The other; the same for two runtimes.")],
    runtime_a: Annotated[str | None, typer.Option("--runtime-a", help=_RUNTIME.format("A"))] = None,
    runtime_b: Annotated[str | None, typer.Option("--runtime-b", help=_RUNTIME.format("B"))] = None,
    inputs: Annotated[
        Path | None,
        typer.Option("--inputs", help="An .npz file with an array for each input, of one or more inferences."),
    ] = None,
    shape: ShapeOption = None,
    feeds: Annotated[int, typer.Option("--feeds", min=1, max=1000, help="Inputs to draw where none are given.")] = 4,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Largest difference over the largest magnitude; that of the coarser precision if not given."),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Show every value, not only where the difference grows.")] = False,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Run two models on the same inputs, and name the first node whose output isn't the same."""
    from hwnas.flow.diff import diff as diff_models

    found = diff_models(
        a, b, runtime_a=runtime_a, runtime_b=runtime_b, inputs=inputs, shapes=parse_shapes(shape),
        feeds=feeds, seed=seed, tolerance=tolerance,
    )  # fmt: skip
    print_result({**found.plain(), "same": found.same}, as_json, *_lines(found, all_))
    if found.first is not None:
        raise CheckError(f"{_sides(found)} differ from {found.first.b} on: {_how(found.first)}{_allowed(found)}")


def _lines(found: DiffRecord, every: bool) -> Iterator[str]:
    for name, side in (("a", found.a), ("b", found.b)):
        where = f"on {side.runtime}" if side.runtime else "node by node"
        odd = f"; not finite from {side.first_not_finite} on" if side.first_not_finite else ""
        yield f"{name}: {side.model}, {side.precision}, {where}; {_alone(side)}{odd}"
    ways = {by: sum(value.by == by for value in found.values) for by in ("name", "numbers", "graph", "place")}
    by = ", ".join(f"{count:,} by {way}" for way, count in ways.items() if count)
    yield f"{counted(len(found.values), 'value')} of both, {by}; {counted(found.feeds, 'inference')}, {found.inputs}"
    yield f"{'differs':>10}  {'SQNR dB':>8}  {'cosine':>8}  node"
    for value in found.values if every else _growth(found):
        yield f"{_share(value.max_relative)}  {_db(value.sqnr_db)}  {_cosine(value.cosine)}  {_pair(value)}"
    yield f"worst: {_pair(found.worst)}, {_how(found.worst)}"
    if found.first is None:
        yield f"the same{_allowed(found)}"
        return
    yield f"first over the tolerance: {_pair(found.first)}, {_how(found.first)}{_allowed(found)}"
    for value in found.before:
        yield f"  computed of {_pair(value)}, {_how(value)}"


def _growth(found: DiffRecord) -> Iterator[ValueDiff]:
    """Values whose difference is at least twice that of all before, the first over the tolerance, and the last."""
    largest = 0.0
    for value in found.values:
        differs = float("inf") if value.max_relative is None else value.max_relative
        if differs > 2 * largest or value in (found.first, found.values[-1]):
            yield value
        largest = max(largest, differs)


def _sides(found: DiffRecord) -> str:
    return " and ".join(side.model + (f" on {side.runtime}" if side.runtime else "") for side in (found.a, found.b))


def _alone(side: DiffSide) -> str:
    return (
        f"{counted(len(side.alone), 'value')} without a counterpart" if side.alone else "each value has a counterpart"
    )


def _pair(value: ValueDiff) -> str:
    return str(value.b) if value.a.value == value.b.value else f"{value.b} (a: {value.a})"


def _how(value: ValueDiff) -> str:
    if value.max_relative is None:
        return "where one has infinities or NaN and the other hasn't"
    told = f"differs by {value.max_relative:.1e} of the largest"
    return told if value.sqnr_db is None else f"{told}, signal {value.sqnr_db:.1f} dB above the noise"


def _allowed(found: DiffRecord) -> str:
    signal = f", signal {found.sqnr_db:g} dB above the noise" if found.sqnr_db is not None else ""
    return f" (allowed {found.relative:.0e}{signal})"


def _share(value: float | None) -> str:
    return f"{'not finite' if value is None else format(value, '.1e'):>10}"


def _db(value: float | None) -> str:
    return f"{'–' if value is None else format(value, '.1f'):>8}"


def _cosine(value: float | None) -> str:
    return f"{'–' if value is None else format(value, '.5f'):>8}"
