"""Overrides that installed packages bring: the entry-point group `tailrace.overrides`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

GROUP = "tailrace.overrides"


def overrides(warn: Callable[[str], None]) -> list[Any]:
    """What the entry points of the group name, loaded, in the order of their names. One that fails is told and left."""
    if not _may_have_some():
        return []
    from importlib.metadata import entry_points  # noqa: PLC0415 - takes longer than the first event

    found = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            found.append(point.load())
        except Exception as error:  # noqa: BLE001 - the package's own code
            warn(f"override {point.name} ({point.value}) could not be loaded: {error!r}")
    return found


def _may_have_some() -> bool:
    """Whether the group is named in any installed package's entry points: milliseconds, where reading them all takes
    tens. What is not installed as files in a directory (a zip, an importer of its own) is not seen.
    """
    marker = f"[{GROUP}]".encode()
    for entry in sys.path:
        try:
            files = [
                *Path(entry).glob("*.dist-info/entry_points.txt"),
                *Path(entry).glob("*.egg-info/entry_points.txt"),
            ]
            if any(marker in file.read_bytes() for file in files):
                return True
        except OSError:
            continue
    return False
