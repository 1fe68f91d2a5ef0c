"""Segment 0: for log calls that come while their own thread changes segments, as those of signal handlers do."""

from __future__ import annotations

from tailrace.errors import SpoolError
from tailrace.spool import files, segment
from tailrace.spool.directory import ASIDE, SpoolDirectory

_BYTES = 64 << 10


class Aside:
    """There from the start, and of one size, so that nothing is left to interrupt."""

    def __init__(self, directory: SpoolDirectory) -> None:
        """Raises OSError: the file cannot be made."""
        self._directory = directory
        self._map = segment.made(directory.segment(ASIDE), _BYTES)

    def write(self, frame: bytes) -> None:
        """As `Spool.append`. Raises SpoolError: it is full."""
        try:
            self._map.write(frame)
        except ValueError as error:
            raise SpoolError("signal handlers logged too much in changes of segments") from error

    def is_empty(self) -> bool:
        return self._map.tell() == 0

    def is_in_place(self) -> bool:
        """Whether it was not deleted: a tool that tidies up finds that it has not changed for long."""
        return files.size(self._directory.segment(ASIDE)) > 0

    def take_over(self, other: Aside) -> None:
        """Begin with what another one holds."""
        self._map.write(other._map[: other._map.tell()])
