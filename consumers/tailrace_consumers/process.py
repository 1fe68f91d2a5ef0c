"""How the process of a worker treats memory: it has little that is garbage, and always needs again what it frees."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager

_COLLECT_AFTER = (100_000, 20, 50)
"""Thresholds of `gc`: a batch of records is thousands of objects that reference counting alone frees."""
_TRIM, _MAP = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h."""
_KEPT = {_MAP: 16 << 20, _TRIM: 64 << 20}
_GLIBCS_OWN = {_MAP: 128 << 10, _TRIM: 128 << 10}


@contextmanager
def memory_of_a_worker() -> Iterator[None]:
    """Have this process look for garbage less often, and not among what it began with; and keep what it frees.

    Each answer of a broker is a block of a megabyte, which glibc gives back to the system and gets anew, in pages that
    the system clears first: a twelfth of what aggregating costs. Up to 64 MiB stay with the process. Where there is no
    glibc, nothing is said to the allocator.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    _tell_allocator(_KEPT)
    try:
        yield
    finally:
        _tell_allocator(_GLIBCS_OWN)
        gc.set_threshold(*before)
        gc.unfreeze()


def _tell_allocator(options: dict[int, int]) -> None:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return
    for option, value in options.items():
        mallopt(option, value)
