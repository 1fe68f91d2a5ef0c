"""Making the files that a spool appends to: allocated to their full size, and mapped."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_HERE = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
_ZEROS = bytes(256 << 10)


def made(path: Path, size: int) -> mmap.mmap:
    """A new file of that size, mapped. Nothing is left of it on an error.

    Raises:
        FileExistsError: something has that name.
        OSError: the disk has no room for it.
    """
    fd = os.open(path, _NEW, 0o600)
    try:
        # Blocks and pages for the whole file now: a full disk is an error here, not a SIGBUS in the middle of a copy.
        _fill(fd, _copy_zeros(fd, size), size)
        return mmap.mmap(fd, size)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


def made_anew(path: Path, size: int) -> mmap.mmap:
    """As `made`, in place of what an attempt that failed half-way left under that name."""
    try:
        return made(path, size)
    except FileExistsError:
        path.unlink(missing_ok=True)
        return made(path, size)


def mapped(path: Path, size: int) -> mmap.mmap:
    """A file of that size, mapped.

    Raises:
        OSError: it cannot be opened.
    """
    fd = os.open(path, _HERE)
    try:
        return mmap.mmap(fd, size)
    finally:
        os.close(fd)


def clear(path: Path, size: int) -> None:
    """Make a file of that size all zeros again.

    Raises:
        OSError: it cannot be opened or written.
    """
    fd = os.open(path, _HERE)
    try:
        _fill(fd, 0, size)
    finally:
        os.close(fd)


def _fill(fd: int, written: int, size: int) -> None:
    """Zeros up to `size`, in one call, which gives the GIL away once."""
    whole, rest = divmod(size - written, len(_ZEROS))
    written += os.pwritev(fd, [_ZEROS] * whole + [_ZEROS[:rest]], written)
    if written != size:
        raise OSError(errno.ENOSPC, f"the disk took {written} of {size} bytes of a new segment")


def _copy_zeros(fd: int, size: int) -> int:
    """How many bytes the kernel copied from its zeros: in pieces of 64 KiB. 0 where it does not.

    For a large write it takes memory in large pieces, and those are mostly such as nobody used before. A virtual
    machine may get that from its host only now: 13 to 18 us a page of 4 KiB, 1 to 8 by small pieces.
    """
    try:
        zeros = os.open("/dev/zero", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return os.sendfile(fd, zeros, None, size)
    except OSError:  # macOS; an older kernel; whatever it is, `_fill` will meet it
        return 0
    finally:
        os.close(zeros)
