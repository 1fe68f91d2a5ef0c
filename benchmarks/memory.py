"""Free memory that was used before, as it is on a machine that has run for some days.

Of a virtual machine the host may take free memory back. The first use of a page then costs 13 us instead of 0.9
(measured on two processors under Linux 6.18, writing a file), and whoever writes files, Kafka's broker among them, pays
more for memory than for its work: a different part of it in every measurement. Linux gives back what is free in pieces
of 2 MiB. So nearly all that is free is used once, and then let go but for one page in 128: hardly any such piece is
whole again for as long as those are held. No setting of the machine is changed.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_LEFT_MIB = 1024
"""Not touched: the machine must not come into need of memory by this."""
_MIB = 1 << 20
_PIECE_BYTES = 64 << 20
_HELD_OF_BYTES = 512 << 10
"""Of which one page stays."""
_POPULATE_WRITE = 23
"""MADV_POPULATE_WRITE of Linux 5.14."""


@contextlib.contextmanager
def used_before() -> Iterator[int]:
    """Gives how many MiB were used once; 0 where that is not known to help or cannot be done. Takes up to a minute."""
    size = max(0, _free_mib() - _LEFT_MIB) * _MIB
    if not size:
        yield 0
        return
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:
        yield _use_once(held) // _MIB


def _use_once(held: mmap.mmap) -> int:
    try:
        held.madvise(mmap.MADV_NOHUGEPAGE)
        for at in range(0, len(held), _PIECE_BYTES):
            held.madvise(_POPULATE_WRITE, at, min(_PIECE_BYTES, len(held) - at))
    except OSError:  # an older Linux; or memory ran out, and what was used is let go
        held.madvise(mmap.MADV_DONTNEED)
        return 0
    for at in range(0, len(held), _HELD_OF_BYTES):
        held.madvise(mmap.MADV_DONTNEED, at + mmap.PAGESIZE, min(_HELD_OF_BYTES, len(held) - at) - mmap.PAGESIZE)
    return len(held)


def _free_mib() -> int:
    """Memory that nobody uses, not even for files; 0 where that is not known."""
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("MemFree:")), 0)
