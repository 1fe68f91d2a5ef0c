"""What went wrong beside the events, where no event tells of it: counted for the process, each kind told once."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

_counts: dict[tuple[str, str], int] = {}
_counting = threading.Lock()

CAPTURE = "capture"
INBOUND = "inbound"


def count(kind: str, reason: str, line: str) -> None:
    """Add one; the first of its kind and reason also writes `line` to stderr. Any thread; never raises."""
    with _counting:
        number = _counts.get((kind, reason), 0) + 1
        _counts[kind, reason] = number
    if number == 1:
        with contextlib.suppress(Exception):
            sys.stderr.write(f"tailrace: {line}\n")


def counted(kind: str) -> dict[str, int]:
    """Of one kind, by reason."""
    with _counting:
        return {reason: number for (of, reason), number in _counts.items() if of == kind}


def reset() -> None:
    """From zero again: in a forked child, and for tests."""
    global _counting  # noqa: PLW0603 - another thread of the parent may have held it
    _counting = threading.Lock()
    _counts.clear()


os.register_at_fork(after_in_child=reset)
