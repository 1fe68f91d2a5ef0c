"""Making the files that a spool appends to: allocated to their full size, and mapped."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_ZEROS = bytes(256 << 10)


def made(path: Path, size: int) -> mmap.mmap:
    """A new file of that size, mapped. Nothing is left of it on an error.

    Raises:
        FileExistsError: something has that name.
        OSError: the disk has no room for it.
    """
    fd = os.open(path, _NEW, 0o600)
    try:
        _fill(fd, size)
        return mmap.mmap(fd, size)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


def clear(path: Path, size: int) -> None:
    """Make a file of that size all zeros again.

    Raises:
        OSError: it cannot be opened or written.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        _fill(fd, size)
    finally:
        os.close(fd)


def _fill(fd: int, size: int) -> None:
    """Blocks and pages for the whole file now: a full disk is an error here, not a SIGBUS in the middle of a copy.

    One call, which gives the GIL away once.
    """
    whole, rest = divmod(size, len(_ZEROS))
    written = os.pwritev(fd, [_ZEROS] * whole + [_ZEROS[:rest]], 0)
    if written != size:
        raise OSError(errno.ENOSPC, f"the disk took {written} of {size} bytes of a new segment")
