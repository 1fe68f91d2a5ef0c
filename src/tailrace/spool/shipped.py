"""What a companion process tells a live producer of its spool: the file `shipped` in the spool's directory.

One small write at a time, with a checksum: a reader that comes in the middle keeps what it knew.
"""

from __future__ import annotations

import contextlib
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
        self._path = directory.shipped
        self._fd = files.open_to_write(self._path)

    def write(self, shipped: Shipped) -> None:
        """Raises OSError: the disk does not take it."""
        if not os.fstat(self._fd).st_nlink:  # deleted: nobody would read it
            deleted, self._fd = self._fd, files.open_to_write(self._path)
            os.close(deleted)
        line = msgspec.json.encode(msgspec.structs.replace(shipped, trouble=shipped.trouble[:_MOST_TROUBLE]))
        os.pwrite(self._fd, b"%08x %b\n" % (crc32(line), line), 0)

    def close(self) -> None:
        os.close(self._fd)


class Listener:
    """Reads a spool's `shipped` over and over, with two system calls a time: each may cost a thread its turn."""

    def __init__(self, directory: SpoolDirectory) -> None:
        self.directory = directory
        self._fd = -1
        self._line = b""
        self._last: Shipped | None = None

    def read(self) -> Shipped | None:
        """What the file says; None where there is none, or it is being written."""
        try:
            if self._fd < 0:
                self._fd = files.open_to_read(self.directory.shipped)
                self._file = os.fstat(self._fd)
            line, end, _ = os.pread(self._fd, _MOST_BYTES, 0).partition(b"\n")
            if not os.fstat(self._fd).st_nlink:  # what is told of a spool that was deleted is true of no other
                self.close()
                return None
        except OSError:
            return None
        if not end or line != self._line:
            self._line, self._last = line, _parsed(line) if end else None
        return self._last

    def close(self) -> None:
        """The next `read` opens the file again, which may be another one by then. Idempotent."""
        fd, self._fd = self._fd, -1
        with contextlib.suppress(OSError):
            # A program that becomes a daemon closes what it finds open, and may have another file of that number.
            if fd >= 0 and os.path.samestat(os.fstat(fd), self._file):
                os.close(fd)

    __del__ = close  # of a forked child's copy


def read(directory: SpoolDirectory) -> Shipped | None:
    """As `Listener.read`, once."""
    listener = Listener(directory)
    try:
        return listener.read()
    finally:
        listener.close()


def _parsed(line: bytes) -> Shipped | None:
    try:
        if int(line[:8], 16) == crc32(line[9:]):
            return msgspec.json.decode(line[9:], type=Shipped)
    except ValueError:  # msgspec's errors are such, too
        pass
    return None
