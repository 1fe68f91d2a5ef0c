"""What a companion process tells a live producer of its spool: the file `shipped` in the spool's directory.

One small write at a time, with a checksum: a reader that comes in the middle keeps what it knew.
"""

from __future__ import annotations

import os
from zlib import crc32

import msgspec

from tailrace.spool import files
from tailrace.spool.directory import SpoolDirectory

_MOST_BYTES = 4096
_MOST_TROUBLE = 500
"""Characters, each of which may take six bytes."""


class Shipped(msgspec.Struct, frozen=True):
    """As of one look at the spool."""

    position: tuple[int, int] = (0, 0)
    """(segment, offset) below which everything is acknowledged or put aside."""
    frames: int = 0
    """So many frames are below it."""
    rejected: int = 0
    """Of them the bus refused so many for good."""
    trouble: str = ""
    """Why shipping does not get on, in one line; empty while it does."""
    looked: float = 0.0
    """When the look began, on the machine's monotonic clock."""


class Notice:
    """Writes a spool's `shipped`. For who holds its ship lock."""

    def __init__(self, directory: SpoolDirectory) -> None:
        """Raises OSError: the file cannot be made."""
        self._fd = files.open_to_write(directory.shipped)

    def write(self, shipped: Shipped) -> None:
        """Raises OSError: the disk does not take it."""
        line = msgspec.json.encode(msgspec.structs.replace(shipped, trouble=shipped.trouble[:_MOST_TROUBLE]))
        os.pwrite(self._fd, b"%08x %b\n" % (crc32(line), line), 0)

    def close(self) -> None:
        os.close(self._fd)


def read(directory: SpoolDirectory) -> Shipped | None:
    """What the file says; None where there is none, or it is being written."""
    try:
        fd = files.open_to_read(directory.shipped)
    except OSError:
        return None
    try:
        line, end, _ = os.pread(fd, _MOST_BYTES, 0).partition(b"\n")
    except OSError:
        return None
    finally:
        os.close(fd)
    try:
        if end and int(line[:8], 16) == crc32(line[9:]):
            return msgspec.json.decode(line[9:], type=Shipped)
    except ValueError:  # msgspec's errors are such, too
        pass
    return None
