"""``hwnas bench``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from hwnas.cli.console import JsonOption, SeedOption, print_result
from hwnas.progress import ProgressBars


def bench(
    artifacts: Annotated[list[Path], typer.Argument(help="Folders that `hwnas export` made.")],
    threads: Annotated[list[int], typer.Option(help="Of one inference; may be given again.")] = [1],  # noqa: B006
    batch: Annotated[list[int], typer.Option(help="Images per inference; may be given again.")] = [1],  # noqa: B006
    runtime: Annotated[
        list[str] | None, typer.Option(help="Run files on this, not on their own; may be given again.")
    ] = None,
    all_runtimes: Annotated[
        bool, typer.Option("--all-runtimes", help="Run ONNX on every runtime that takes it.")
    ] = False,
    table: Annotated[Path | None, typer.Option(help="A latency table, to print its prediction beside.")] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Load engines that nothing vouches for: native code.")] = False,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Time all files of all artifacts on this machine, in turn in random order, and name the fastest."""
    from hwnas.cli.bench_table import lines
    from hwnas.flow.bench import bench as bench_artifacts

    with ProgressBars() as progress:
        found = bench_artifacts(
            artifacts, table=table, batches=batch, threads=threads, runtimes=runtime or (), all_runtimes=all_runtimes,
            trusted=trust, seed=seed, progress=progress,
        )  # fmt: skip
    print_result(found.plain(), as_json, *([] if as_json else lines(found, sys.stdout)))
