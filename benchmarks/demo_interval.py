"""How often the demo's 90 % interval holds what its winner then takes.

python benchmarks/demo_interval.py [--runs 20] [--fast]

The first run is `hwnas demo`. The others repeat, with a seed each, those of its commands that the machine's speed
matters to (profile, search, derive, export, bench), as its steps.json has them: the training in between takes most of
the time and has no part in it.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from common import machine

from hwnas.artifacts.bundle import load_artifact
from hwnas.flow.predict import predicted_interval_ms
from hwnas.records.bench import BenchRecord
from hwnas.records.demo import StepsRecord
from hwnas.tables.table import LatencyTable


def run(*words: object) -> str:
    """A verb as one would type it; its standard output."""
    command = [sys.executable, "-m", "hwnas", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def repeat(first: Path, folder: Path, seed: int) -> None:
    """What a demo leaves that the interval depends on, made anew into ``folder``."""
    folder.mkdir()
    (folder / "supernet").symlink_to(first / "supernet")
    for step in StepsRecord.read(first / "steps.json").steps:
        verb, *words = shlex.split(step.command.replace(str(first), str(folder)))[1:]
        if verb == "export":  # weights don't change the latency: what was derived, in place of what was fine-tuned
            words[0] = str(folder / "model")
        if verb == "bench":
            words += ["--json"]
        if verb in ("profile", "search", "bench"):
            words += ["--seed", str(seed)]
        if verb not in ("train", "report"):
            said = run(verb, *words)
            if verb == "bench":
                (folder / "bench.json").write_text(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--fast", action="store_true", help="of the fast demo")
    arguments = parser.parse_args()
    print(machine(), "\n\n| run | predicted ms | interval ms | drift | measured ms | off | inside |", sep="")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    inside, errors = 0, []
    with tempfile.TemporaryDirectory() as temporary:
        first = Path(temporary, "1")
        for number in range(1, arguments.runs + 1):
            folder = Path(temporary, str(number))
            if folder == first:
                run("demo", "-o", folder, *(["--fast"] if arguments.fast else []))
            else:
                repeat(first, folder, seed=number)
            table, artifact = LatencyTable.load(folder / "table.yaml"), load_artifact(folder / "artifact")
            benched = BenchRecord.read(folder / "bench.json")
            by_table = predicted_interval_ms(table, artifact.of_arch.space_of_network(), artifact.arch.choices)
            predicted_ms, low_ms, high_ms = benched.drifted(by_table)
            assert low_ms is not None
            assert high_ms is not None
            measured_ms = benched.results[0].p50_ms
            holds = low_ms <= measured_ms <= high_ms
            inside += holds
            errors.append(abs(predicted_ms / measured_ms - 1))
            print(
                f"| {number} | {predicted_ms:.4f} | {low_ms:.4f} to {high_ms:.4f} | {benched.drift:.3f} | "
                f"{measured_ms:.4f} | {predicted_ms / measured_ms - 1:+.1%} | {'yes' if holds else 'no'} |",
                flush=True,
            )
    print(
        f"\ninside {inside} of {arguments.runs}; mean error {sum(errors) / len(errors):.1%}, largest {max(errors):.1%}"
    )


if __name__ == "__main__":
    main()
