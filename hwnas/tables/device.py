"""`Device`: on what, and how, latencies were measured. A latency without one means nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_Text = Annotated[str, Field(min_length=1, max_length=200)]


class Device(BaseModel):
    """Hardware, operating system, runtime and how it was asked to run.

    Attributes:
        hardware: processor or accelerator, as its maker calls it.
        cores: logical processors that the measuring process could use.
        os: system and machine, as ``Linux x86_64``.
        runtime, runtime_version: what ran the network.
        precision: of the arithmetic, as ``fp32``.
        threads: that one inference used.
        batch: images per inference.
        clocks: what is known of frequencies and their governor; ``unknown`` where the system doesn't tell.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hardware: _Text
    cores: Annotated[int, Field(gt=0)]
    os: _Text
    runtime: _Text
    runtime_version: _Text
    precision: _Text
    threads: Annotated[int, Field(gt=0)]
    batch: Annotated[int, Field(gt=0)]
    clocks: _Text

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return (
            f"{self.hardware}, {self.runtime} {self.runtime_version}, {self.precision}, {threads}, batch {self.batch}"
        )


def this_device(*, runtime: str, runtime_version: str, precision: str, threads: int, batch: int) -> Device:
    """The machine this runs on, with how it is used."""
    return Device(
        hardware=_processor(),
        cores=usable_cores(),
        os=f"{platform.system()} {platform.machine()}",
        runtime=runtime,
        runtime_version=runtime_version,
        precision=precision,
        threads=threads,
        batch=batch,
        clocks=_clocks(),
    )


def usable_cores() -> int:
    """Logical processors that this process may use (its affinity, where the system has one)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    for line in _lines(Path("/proc/cpuinfo")):
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "Hardware") and value.strip():
            return value.strip()
    return platform.processor() or platform.machine() or "unknown"


def _clocks() -> str:
    scaling = Path("/sys/devices/system/cpu/cpu0/cpufreq")
    governor = next(iter(_lines(scaling / "scaling_governor")), "")
    limit_khz = next(iter(_lines(scaling / "scaling_max_freq")), "")
    if governor and limit_khz.isdigit():
        return f"governor {governor}, at most {int(limit_khz) // 1000} MHz"
    megahertz = [line.partition(":")[2].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("cpu MHz")]
    return f"governor unknown, {float(megahertz[0]):.0f} MHz when read" if megahertz else "unknown"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
