"""Quantiles of many timings, and the process's memory."""

from __future__ import annotations

from pathlib import Path


def quantiles(timings: list[int], unit: int, name: str) -> dict[str, float]:
    """`name` is a pattern with one `{}` for the quantile; `unit`: nanoseconds in one unit of the result."""
    ordered = sorted(timings)
    last = len(ordered) - 1
    places = {
        "p50": len(ordered) // 2,
        "p99": len(ordered) * 99 // 100,
        "p999": len(ordered) * 999 // 1000,
        "max": last,
    }
    return {name.format(quantile): ordered[min(place, last)] / unit for quantile, place in places.items()}


def resident_mib() -> float:
    """Memory of this process in RAM, now."""
    return _status("VmRSS")


def peak_mib() -> float:
    """The most memory that this process has had in RAM."""
    return _status("VmHWM")


def _status(field: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(field)
