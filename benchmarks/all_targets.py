"""Every released arch × every shipped target: exported, checked and timed, as one Markdown table.

    python benchmarks/all_targets.py > table.md

Random weights: for size, speed and parity; accuracies are in ``benchmarks/int8.py``. Each target is an artifact of its
own, so that one that can't be made is a row with its reason and the others go on. All files of an arch are timed in the
same rounds, 1 thread, each with its smallest batch.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does: idle threads mustn't spin

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from common import machine

from hwnas.artifacts.bundle import Artifact, load_artifact
from hwnas.artifacts.export import export_network
from hwnas.errors import CheckError, HwnasError
from hwnas.flow.bench import bench
from hwnas.nn.released import load_scarlet
from hwnas.records.artifact import ExportedFile
from hwnas.records.bench import BenchRow
from hwnas.records.target import target_names
from hwnas.space.scarlet import released_archs

HEAD = (
    "arch", "target", "status", "MB", "memory MB", "differs", "same class", "computes in",
    "p50 ms", "p10–p90 ms", "± 95 %", "onnx-fp32 / it", "export s",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--arch", action="append", choices=released_archs(), help="all where not given")
    parser.add_argument("--target", action="append", help="all that are shipped where not given")
    asked = parser.parse_args()
    archs, targets = asked.arch or list(released_archs()), asked.target or target_names()
    print(f"{machine()}, 1 thread, random weights\n\n| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    with tempfile.TemporaryDirectory() as folder:
        for arch in archs:
            for row in rows(arch, targets, Path(folder) / arch):
                print(f"| {' | '.join(row)} |", flush=True)


def rows(arch: str, targets: Sequence[str], folder: Path) -> list[list[str]]:
    """One for each target, once all are made and timed."""
    network = load_scarlet(arch)
    made: dict[str, Artifact] = {}
    seconds: dict[str, float] = {}
    failed: dict[str, str] = {}
    for target in targets:
        started = time.monotonic()
        try:
            export_network(network, [target], folder / target)
            made[target] = load_artifact(folder / target)  # every hash checked
        except HwnasError as error:
            failed[target] = f"{'failed' if isinstance(error, CheckError) else 'not made here'}: {error}"
        seconds[target] = time.monotonic() - started
        say(f"{arch} {target}: {seconds[target]:.1f} s {failed.get(target, '')}")
    found = bench(list(made.values()))
    results = {row.target: row for row in found.results}
    lacks = {each.target: each.lacks for each in found.lacking}
    say(f"{arch}: the machine's speed varied by ±{found.unsteadiness_90:.1%}")
    return [
        [arch, target, *map(plain, cells(made[target].manifest.files[0], results, lacks)), f"{seconds[target]:.1f}"]
        if target in made
        else [arch, target, plain(failed[target]), *["–"] * (len(HEAD) - 4), f"{seconds[target]:.1f}"]
        for target in targets
    ]


def cells(file: ExportedFile, results: Mapping[str, BenchRow], lacks: Mapping[str, str]) -> list[str]:
    """Between the target's name and the time its export took."""
    result, base = results.get(file.target), results.get("onnx-fp32")
    computes = ", ".join(f"{count} {name}" for name, count in file.precisions.items()) or "–"
    memory = "–" if file.memory_mb is None else f"{file.memory_mb:.0f}"
    parity = [f"{file.parity.max_relative:.1e}", file.parity.same_class]
    told = [f"{file.bytes / 1e6:.2f}", memory, *parity, computes]
    if result is None:
        return [f"made, not run here: {lacks[file.target]}", *told, "–", "–", "–", "–"]
    return [
        "pointless" if file.pointless else "ok",
        *told,
        f"{result.p50_ms:.2f}",
        f"{result.p10_ms:.2f}–{result.p90_ms:.2f}",
        "–" if result.confidence_95 is None else f"{result.confidence_95:.1%}",
        f"{base.p50_ms / result.p50_ms:.2f} ×" if base else "–",
    ]


def plain(text: str) -> str:
    """Without what would end a cell of a table, or name this run's folder."""
    return text.replace("|", "/").partition("; nothing was shipped")[0]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
