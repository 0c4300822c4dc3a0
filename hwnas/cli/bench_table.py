"""A bench as people read it: one table, the fastest, and what couldn't be timed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDTH = 10_000
"""Wider than any table: lines aren't broken by us, a terminal breaks those that it has no room for."""


def lines(result: Mapping[str, Any], stream: TextIO) -> list[str]:
    """What ``hwnas bench`` prints of its JSON object; with bold and colour where ``stream`` is a terminal."""
    rows, lacking = result["results"], result["lacking"]
    several = len({row["artifact"] for row in (*rows, *lacking)}) > 1
    told = StringIO()
    console = Console(file=told, width=_WIDTH, force_terminal=stream.isatty(), highlight=False, emoji=False)
    console.print(_table(result, several))
    for best in result["fastest"]:
        console.print(_fastest(best, rows, several), style="bold", markup=False)
    for line in dict.fromkeys(f"{_name(row, several)} can't be timed here: {row['lacks']}" for row in lacking):
        console.print(line, style="yellow", markup=False)
    if result["drift"]:
        told.write(f"the table's own networks take {result['drift']:.3f} × what they took when it was made\n")
    told.write(
        f"medians are known to ±{result['confidence_95']:.1%}; meanwhile the machine's speed varied by "
        f"±{result['unsteadiness_90']:.1%}\n"
    )
    return [line.rstrip() for line in told.getvalue().splitlines()]


def _table(result: Mapping[str, Any], several: bool) -> Table:
    rows = result["results"]
    predicted = any(row["predicted_ms"] for row in rows)
    head = ["target", "runtime", "batch", "threads", "p50 ms", "±", "p10 ms", "p90 ms", "images/s", "MB", "memory MB"]
    head += ["differs", "same class", "computes in", *(["predicted ms"] if predicted else [])]
    table = Table(box=None, header_style="bold", pad_edge=False, show_edge=False)
    for name in (["artifact"] if several else []) + head:
        text = name in ("artifact", "target", "runtime", "computes in")
        table.add_column(name, justify="left" if text else "right", no_wrap=True)
    fastest = [_key(row) for row in result["fastest"]]
    for row in rows:
        cells = [*([row["artifact"]] if several else []), *_cells(row)]
        cells += [f"{row['predicted_ms']:.3f}" if row["predicted_ms"] else "–"] if predicted else []
        table.add_row(*map(Text, cells), style="green" if _key(row) in fastest else None)
    return table


def _cells(row: Mapping[str, Any]) -> Iterator[str]:
    yield from (row["target"], row["runtime"], str(row["batch"]), str(row["threads"]), f"{row['p50_ms']:.3f}")
    yield "–" if row["confidence_95"] is None else f"{row['confidence_95']:.1%}"
    yield from (f"{row['p10_ms']:.3f}", f"{row['p90_ms']:.3f}", f"{row['images_per_s']:.1f}")
    yield from (f"{row['bytes'] / 1e6:.2f}", "–" if row["memory_mb"] is None else f"{row['memory_mb']:.0f}")
    parity = row["parity"]
    yield from (f"{parity['max_relative']:.1e}", f"{parity['top1_agreement']:.1%}") if parity else ("–", "–")
    yield ", ".join(f"{name} {count}" for name, count in row["precisions"].items()) or "–"


def _fastest(best: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], several: bool) -> str:
    images, threads = best["batch"], best["threads"]
    line = f"fastest with batch {images} on {threads} thread{'s' if threads > 1 else ''}: {_name(best, several)}"
    line += f", {best['p50_ms']:.3f} ms"
    if best["as_fast"]:
        return f"{line}; within the noise of it {', '.join(_name(row, several) for row in best['as_fast'])}"
    same = [row for row in rows if (row["batch"], row["threads"]) == (images, threads)]
    if len(same) == 1:
        return f"{line}; nothing else ran"
    return f"{line}; {same[1]['p50_ms'] / best['p50_ms']:.2f} × as fast as {_name(same[1], several)}"


def _name(row: Mapping[str, Any], several: bool) -> str:
    return f"{row['artifact']} " * several + f"{row['target']} on {row['runtime']}"


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("artifact", "target", "runtime", "batch", "threads"))
