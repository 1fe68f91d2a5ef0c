"""Segments made ahead of their turn: the next one, mapped and warm, and files of acknowledged ones to make it of.

Pages that are new to the kernel cost; on a virtual machine that gets its memory on first use, some 30 times as much as
pages used before. So acknowledged segments are kept, zeroed, rather than deleted and made anew.
"""

from __future__ import annotations

import contextlib
import mmap
import threading
from collections.abc import Callable
from pathlib import Path

from tailrace.spool import files, segment
from tailrace.spool.directory import SpoolDirectory

_POPULATE_WRITE = 23
"""MADV_POPULATE_WRITE of Linux 5.14: take the page faults now."""
_WARM_BYTES = 256 << 10
"""At once: the GIL is held meanwhile, for some 15 us."""


class Spares:
    """`ready` is for a log call to take, which needs no lock for it; all else is called with `lock` held.

    Of one segment size: the first ones are smaller, each twice as large as the one before, and are not kept.
    """

    def __init__(self, directory: SpoolDirectory, segment_bytes: int, first: int) -> None:
        self.lock = threading.Lock()
        """Never taken by a log call."""
        self.ready: mmap.mmap | None = None
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._next_bytes = min(2 * first, segment_bytes)
        self._kept: list[Path] = []

    def has_kept(self) -> bool:
        """Whether `make_ready` would take used pages."""
        return bool(self._kept)

    def make_ready(self, check: Callable[[int], None]) -> None:
        """Make the next segment; before, `check` is called with its size. Blocks for the disk.

        Raises:
            OSError: the disk has no room for it, or the directory is gone.
        """
        size = self._next_bytes
        check(size)
        if self._kept:
            self._kept.pop().rename(self._directory.spare)
            made = segment.mapped(self._directory.spare, size)
        else:
            made = segment.made_anew(self._directory.spare, size)
        self._next_bytes = min(2 * size, max(self._segment_bytes, size))
        _warm(made)
        self.ready = made

    def take(self, path: Path, needed: int) -> mmap.mmap | None:
        """The segment that is ready, under the name `path`; None if there is none of so many bytes. For log calls."""
        made = self.ready
        if made is None or len(made) < needed:
            return None
        try:
            self._directory.spare.rename(path)
        except FileNotFoundError:  # somebody deleted it
            made = None
        self.ready = None  # only now: `make_ready` may begin another one in its place
        return made

    def keep(self, path: Path) -> bool:
        """Take over an acknowledged segment that nobody reads or appends to any more. False: it may be deleted."""
        unused = [each for each in self._directory.kept if each not in self._kept]
        if not unused or files.size(path) != self._segment_bytes or self._next_bytes != self._segment_bytes:
            return False
        try:
            path.rename(unused[0])
            segment.clear(unused[0], self._segment_bytes)
        except OSError:
            return False
        self._kept.append(unused[0])
        return True

    def give_back(self) -> None:
        """Delete the files that were kept: nothing has needed them for long."""
        while self._kept:
            with contextlib.suppress(OSError):
                self._kept.pop().unlink()

    def move(self, directory: SpoolDirectory) -> None:
        """To another directory, where there are none yet."""
        self._directory, self.ready = directory, None
        self._kept.clear()


def _warm(made: mmap.mmap) -> None:
    with contextlib.suppress(ValueError, OSError):  # an older kernel, or not Linux: log calls take the page faults
        for start in range(0, len(made), _WARM_BYTES):
            made.madvise(_POPULATE_WRITE, start, min(_WARM_BYTES, len(made) - start))
