"""How far a spool is shipped, as a restart needs to know it: the file `cursor` in the spool's directory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tailrace.spool import files

if TYPE_CHECKING:
    from tailrace.spool.directory import SpoolDirectory


def read_cursor(directory: SpoolDirectory) -> tuple[int, int]:
    """(segment, offset) below which all is acknowledged; (0, 0) where nothing is known."""
    try:
        segment, offset, check = map(int, files.read(directory.cursor).partition(b"\n")[0].split())
        if check == segment ^ offset and min(segment, offset) >= 0:
            return segment, offset
    except (OSError, ValueError):
        pass
    return 0, 0


def write_cursor(directory: SpoolDirectory, segment: int, offset: int) -> None:
    """Not synced: a cursor that is lost or torn only means that records are sent again."""
    fd = files.open_to_write(directory.cursor)  # a file system may flush one that is cut to nothing and written again
    try:
        os.pwrite(fd, f"{segment:012d} {offset:012d} {segment ^ offset:012d}\n".encode(), 0)
    finally:
        os.close(fd)
