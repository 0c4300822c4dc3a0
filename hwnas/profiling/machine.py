"""What the machine is and how it was doing: facts that Python's standard library and the system's files tell.

Part of profiling kits: Python ≥ 3.8, standard library only. What a system doesn't tell is absent or "unknown", never
guessed.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

_CPU = Path("/sys/devices/system/cpu")
_POWER = Path("/sys/class/power_supply")
_MEMORY = Path("/proc/meminfo")


def usable_cores() -> int:
    """Logical processors that this process may use (its affinity, where the system has one)."""
    return len(affinity()) or os.cpu_count() or 1


def affinity() -> list[int]:
    """Numbers of the logical processors that this process may use; empty where the system doesn't tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def describe() -> dict[str, Any]:
    """What doesn't change while measuring: hardware, cores, os, clocks."""
    return {
        "hardware": _processor(),
        "cores": usable_cores(),
        "os": f"{platform.system()} {platform.machine()}",
        "clocks": _clocks(),
    }


def state() -> dict[str, Any]:
    """How the machine is doing now; take it before and after measuring.

    The keys are those of :class:`hwnas.tables.protocol.MachineState`, each absent where the system doesn't tell.
    """
    found: dict[str, float | None] = {
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "clock_mhz": _clock_mhz(),
        "throttled": _total(_CPU.glob("cpu[0-9]*/thermal_throttle/core_throttle_count")),
        "temperature_c": _temperature_c(),
        "battery_percent": battery_percent(),
    }
    found.update(_processor_times())
    return {key: round(value, 3) for key, value in found.items() if value is not None}


def free_bytes(folder: Path) -> int:
    """Space left on the disk that ``folder`` is on."""
    return shutil.disk_usage(folder).free


def available_memory_bytes() -> int | None:
    """That a process may still take before the system swaps or kills; None where the system doesn't tell."""
    for line in _lines(_MEMORY):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def battery_percent() -> float | None:
    """Of the battery the machine runs on now; None on mains."""
    for battery in _POWER.glob("*"):
        if _lines(battery / "status")[:1] == ["Discharging"]:
            return _number(battery / "capacity")
    return None


def _processor() -> str:
    for line in _lines(Path("/proc/cpuinfo")):
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "Hardware") and value.strip():
            return value.strip()
    if platform.system() == "Darwin":
        words = ["sysctl", "-n", "machdep.cpu.brand_string"]
        told = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
        if told:
            return told
    return platform.processor() or platform.machine() or "unknown"


def _clocks() -> str:
    governor = next(iter(_lines(_CPU / "cpu0/cpufreq/scaling_governor")), "")
    limit_khz = next(iter(_lines(_CPU / "cpu0/cpufreq/scaling_max_freq")), "")
    if governor and limit_khz.isdigit():
        return f"governor {governor}, at most {int(limit_khz) // 1000} MHz"
    clock_mhz = _clock_mhz()
    return f"governor unknown, {clock_mhz:.0f} MHz when read" if clock_mhz else "unknown"


def _clock_mhz() -> float | None:
    khz = [_number(path) for path in _CPU.glob("cpu[0-9]*/cpufreq/scaling_cur_freq")]
    mhz = [value / 1000 for value in khz if value]
    if not mhz:
        lines = [line for line in _lines(Path("/proc/cpuinfo")) if line.startswith("cpu MHz")]
        mhz = [float(line.partition(":")[2]) for line in lines]
    return sum(mhz) / len(mhz) if mhz else None


def _temperature_c() -> float | None:
    milli = [_number(path) for path in Path("/sys/class/thermal").glob("thermal_zone*/temp")]
    degrees = [value / 1000 for value in milli if value]
    return max(degrees) if degrees else None


def _processor_times() -> dict[str, float | None]:
    first = next(iter(_lines(Path("/proc/stat"))), "").split()  # cpu user nice system idle iowait irq softirq steal
    if len(first) < 9:
        return {}
    ticks = [int(value) / os.sysconf("SC_CLK_TCK") for value in first[1:9]]
    user, nice, system, _, _, irq, softirq, steal = ticks
    return {"busy_s": user + nice + system + irq + softirq, "stolen_s": steal}


def _total(paths: Any) -> float | None:
    values = [value for value in map(_number, paths) if value is not None]
    return sum(values) if values else None


def _number(path: Path) -> float | None:
    text = next(iter(_lines(path)), "").strip()
    try:
        return float(text)
    except ValueError:
        return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
