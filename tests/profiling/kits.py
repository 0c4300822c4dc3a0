"""Kits for tests: small ones, and a Python that has nothing but numpy and ONNX Runtime, as a device would."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from hwnas.flow.profile import plan
from hwnas.profiling.kit import Kit, build_kit
from hwnas.profiling.local import conditions_of
from hwnas.profiling.plan import Plan
from hwnas.profiling.timer import Effort
from hwnas.runtimes.registry import get_runtime
from hwnas.space.chain import ChainSpace

ROOT = Path(__file__).parents[2]


def small_plan(
    space: ChainSpace, *, seconds: float = 2.0, networks: int = 4, held_out: int = 5, threads: int = 1
) -> Plan:
    conditions, effort = conditions_of(get_runtime("onnxruntime"), threads=threads), Effort(1e-4, at_most_s=seconds)
    return plan(space, conditions, networks=networks, held_out=held_out, effort=effort)


def small_kit(space: ChainSpace, **options: float) -> Kit:
    return build_kit(small_plan(space, **options), space, get_runtime("onnxruntime"))  # type: ignore[arg-type]


def make_device(folder: Path, *packages: str) -> Path:
    """Python of a new virtual environment with these packages only, in the versions that hwnas is tested with."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    if packages:
        install = ["-m", "pip", "install", "--quiet", "--constraint", str(ROOT / "constraints.txt"), *packages]
        subprocess.run([python, *install], check=True)
    return python


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def reason(self) -> str:
        """The one line that says why a kit stopped."""
        lines = [line for line in self.err.splitlines() if "hwnas kit: " in line]
        assert len(lines) == 1, self
        assert "Traceback" not in self.err
        return lines[0]


def run_kit(python: Path, kit: Path, *words: object, cwd: Path, limit: str = "") -> Ran:
    """As somebody at the device would: in its own folder, with nothing of this checkout in reach."""
    command = f'{limit}exec "$0" "$@"'
    done = subprocess.run(
        ["bash", "-c", command, str(python), str(kit), *map(str, words)],
        cwd=cwd, capture_output=True, text=True, timeout=120, env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return Ran(done.returncode, done.stdout, done.stderr)
