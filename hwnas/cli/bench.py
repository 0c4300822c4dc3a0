"""``hwnas bench``: one table, the fastest, and what couldn't be timed."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, TextIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hwnas.cli.console import JsonOption, SeedOption, ShapeOption, TrustOption, parse_shapes, print_result
from hwnas.errors import counted, printable
from hwnas.progress import ProgressBars

if TYPE_CHECKING:  # imported when the verb runs
    from hwnas.records.bench import BenchCell, BenchRecord, BenchRow, Fastest

_WIDTH = 10_000
"""Of a file, which is wider than any table."""
_KEYS = ("target", "runtime", "batch", "threads")


def bench(
    artifacts: Annotated[
        list[Path],
        typer.Argument(metavar="ARTIFACT|MODEL", help="Folders of `hwnas export`, ONNX files, module:callable."),
    ],
    shape: ShapeOption = None,
    threads: Annotated[list[int], typer.Option(help="Of one inference; may be given again.")] = [1],  # noqa: B006
    batch: Annotated[list[int], typer.Option(help="Images per inference; may be given again.")] = [1],  # noqa: B006
    runtime: Annotated[
        list[str] | None, typer.Option(help="Run files on this, not on their own or on all; may be given again.")
    ] = None,
    all_runtimes: Annotated[
        bool, typer.Option("--all-runtimes", help="Run ONNX on every runtime that takes it.")
    ] = False,
    table: Annotated[Path | None, typer.Option(help="A latency table, to print its prediction beside.")] = None,
    trust: TrustOption = False,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Time all files of all artifacts on this machine, in turn in random order, and name the fastest.

    A MODEL is anyone's. It is timed on every runtime that is installed, and held against its own graph.
    """
    from hwnas.flow.bench import bench as bench_artifacts

    with ProgressBars() as progress:
        found = bench_artifacts(
            artifacts, shapes=parse_shapes(shape), table=table, batches=batch, threads=threads, runtimes=runtime or (),
            all_runtimes=all_runtimes, trusted=trust, seed=seed, progress=progress,
        )  # fmt: skip
    print_result(found.plain(), as_json, *([] if as_json else lines(found, sys.stdout)), styled=True)


def lines(found: BenchRecord, stream: TextIO) -> list[str]:
    """What ``hwnas bench`` prints where nobody asks for JSON; with bold and colour where ``stream`` is a terminal."""
    rows, lacking = found.results, found.lacking
    several = len({cell.artifact for cell in (*rows, *lacking)}) > 1
    told = StringIO()
    width = get_terminal_size().columns if stream.isatty() else _WIDTH
    console = Console(file=told, width=width, force_terminal=stream.isatty(), highlight=False, emoji=False)
    for table in _tables(found, several, width):
        console.print(table)
    for best in found.fastest:
        console.print(printable(_fastest(best, rows, several)), style="bold", markup=False)
    for line in dict.fromkeys(f"{_name(cell, several)} can't be timed here: {cell.lacks}" for cell in lacking):
        console.print(printable(line), style="yellow", markup=False)
    if found.drift:
        told.write(f"the table's own networks take {found.drift:.3f} × what they took when it was made\n")
    told.write(
        f"medians are known to ±{found.confidence_95:.1%}; meanwhile the machine's speed varied by "
        f"±{found.unsteadiness_90:.1%}\n"
    )
    return [line.rstrip() for line in told.getvalue().splitlines()]


def _tables(found: BenchRecord, several: bool, width: int) -> Iterator[Table]:
    """One table, or as many as its columns need to fit the width; each begins with what tells rows apart."""
    predicted = any(row.predicted_ms for row in found.results)
    head = [*_KEYS, "p50 ms", "±", "p10 ms", "p90 ms", "images/s", "MB", "memory MB", "differs", "same class"]
    head = [*(["artifact"] if several else []), *head, "computes in", *(["predicted ms"] if predicted else [])]
    rows = [[*([row.artifact] if several else []), *_cells(row, predicted)] for row in found.results]
    widths = [2 + max(map(len, column)) for column in zip(head, *rows, strict=True)]
    keys = range(len(_KEYS) + several)
    parts = [[*keys]]
    for column in range(len(keys), len(head)):
        if len(parts[-1]) > len(keys) and sum(widths[each] for each in (*parts[-1], column)) - 2 > width:
            parts.append([*keys])
        parts[-1].append(column)
    fastest = [best.cell for best in found.fastest]
    for part in parts:
        table = Table(box=None, header_style="bold", pad_edge=False, show_edge=False)
        for name in (head[column] for column in part):
            text = name in ("artifact", "target", "runtime", "computes in")
            table.add_column(name, justify="left" if text else "right", overflow="fold")
        for row, cells in zip(found.results, rows, strict=True):
            table.add_row(
                *(Text(printable(cells[column])) for column in part), style="green" if row.cell in fastest else None
            )
        yield table


def _cells(row: BenchRow, predicted: bool) -> Iterator[str]:
    yield from (row.target, row.runtime, str(row.batch), str(row.threads), f"{row.p50_ms:.3f}")
    yield "–" if row.confidence_95 is None else f"{row.confidence_95:.1%}"
    yield from (f"{row.p10_ms:.3f}", f"{row.p90_ms:.3f}", f"{row.images_per_s:.1f}")
    yield from (f"{row.bytes / 1e6:.2f}", "–" if row.memory_mb is None else f"{row.memory_mb:.0f}")
    yield from (f"{row.parity.max_relative:.1e}", row.parity.same_class) if row.parity else ("–", "–")
    yield ", ".join(f"{name} {count}" for name, count in row.precisions.items()) or "–"
    if predicted:
        yield f"{row.predicted_ms:.3f}" if row.predicted_ms else "–"


def _fastest(best: Fastest, rows: Sequence[BenchRow], several: bool) -> str:
    line = f"fastest with batch {best.batch} on {counted(best.threads, 'thread')}: "
    line += f"{_name(best, several)}, {best.p50_ms:.3f} ms"
    if best.as_fast:
        return f"{line}; within the noise of it {', '.join(_name(cell, several) for cell in best.as_fast)}"
    same = [row for row in rows if (row.batch, row.threads) == (best.batch, best.threads)]
    if len(same) == 1:
        return f"{line}; nothing else ran"
    return f"{line}; {same[1].p50_ms / best.p50_ms:.2f} × as fast as {_name(same[1], several)}"


def _name(cell: BenchCell, several: bool) -> str:
    return f"{cell.artifact} " * several + f"{cell.target} on {cell.runtime}"
