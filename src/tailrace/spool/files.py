"""Opening what stands in a spool directory: never through a link, never waiting, never anything but a plain file."""

from __future__ import annotations

import errno
import ntpath
import os
import stat
import sys
from pathlib import Path

_SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""O_NONBLOCK: to open a FIFO would wait for its other end."""
_READ = os.O_RDONLY | _SAFELY
_WRITE = os.O_RDWR | os.O_CREAT | _SAFELY


def allow_paths() -> None:
    """Let paths be made although the interpreter lets its modules go: 3.13 imports ntpath for each of them."""
    if sys.modules.get("ntpath") is None:
        sys.modules["ntpath"] = ntpath


def open_to_read(path: Path) -> int:
    """A descriptor.

    Raises:
        FileNotFoundError: there is no plain file of that name, whatever else there is.
        OSError: it cannot be opened now.
    """
    return _checked(_opened(path, _READ), path)


def open_to_append(path: Path) -> int:
    """A descriptor; the file is made if there is none. Raises as `open_to_read`."""
    return _checked(_opened(path, _WRITE | os.O_APPEND), path)


def open_to_write(path: Path) -> int:
    """A descriptor; the file is made if there is none, and keeps what it holds. Raises as `open_to_read`."""
    return _checked(_opened(path, _WRITE), path)


def read(path: Path) -> bytes:
    """All of a file. Raises as `open_to_read`."""
    with open(open_to_read(path), "rb") as file:
        return file.read()


def write(path: Path, content: bytes) -> None:
    """Replace what the file holds, not atomically. Raises as `open_to_read`."""
    fd = open_to_write(path)
    try:
        os.ftruncate(fd, 0)
        os.write(fd, content)
    finally:
        os.close(fd)


def size(path: Path) -> int:
    """Bytes of a plain file; 0 where there is none."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _opened(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags, 0o600)
    except OSError as error:
        # A link; a FIFO that nobody reads, or a socket; a directory.
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise _no_file(path) from error
        raise


def _checked(fd: int, path: Path) -> int:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise _no_file(path)
    return fd


def _no_file(path: Path) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, "not a plain file", str(path))
