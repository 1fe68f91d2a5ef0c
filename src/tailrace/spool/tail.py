"""The shipping side of a spool: read frames in order, take acknowledgements in any order, delete what is done."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Iterable

from tailrace.spool.directory import SpoolDirectory, read_cursor, write_cursor
from tailrace.spool.frame import Frame, parse

_WINDOW = 1 << 20
_CURSOR_SECONDS = 0.1
_SETTLE_SECONDS = 1.0
"""A closed segment is deleted this long after it was seen closed: an append that began before the swap has landed."""


class Pending:
    """A frame that was read and waits for its acknowledgement."""

    __slots__ = ("acked", "frame", "segment")

    def __init__(self, frame: Frame, segment: _Segment) -> None:
        self.frame = frame
        self.segment = segment
        self.acked = False


class _Segment:
    """Reading state of one segment."""

    __slots__ = ("closed_at", "number", "offset", "pending", "settled")

    def __init__(self, number: int, offset: int) -> None:
        self.number = number
        self.offset = offset
        self.settled = offset
        self.pending: deque[Pending] = deque()
        self.closed_at: float | None = None


class Tail:
    """Reads one spool directory; whoever makes one must hold its ship lock. Not thread-safe."""

    def __init__(self, directory: SpoolDirectory) -> None:
        self.directory = directory
        first, offset = read_cursor(directory)
        self._segments: deque[_Segment] = deque()
        self._start = (first, offset)
        self._cursor = (first, offset)
        self._cursor_at = 0.0
        self.acked = 0
        """Frames acknowledged through this object."""
        self.damaged_bytes = 0

    def read(self, *, final: bool, max_bytes: int = _WINDOW) -> list[Pending]:
        """The next frames, at least one if a whole one is there, about `max_bytes` of them; [] if there are none now.

        `final`: the producer is gone, so what is torn stays torn.
        """
        self._look()
        for at, segment in enumerate(self._segments):
            if segment.closed_at is None and (final or at + 1 < len(self._segments)):
                segment.closed_at = time.monotonic()
            found = self._read_segment(segment, max_bytes, complete=final or self._has_landed(segment))
            if found:
                return found
        return []

    def ack(self, done: Iterable[Pending]) -> None:
        """Mark frames as taken by the bus (or put aside for good)."""
        for pending in done:
            if not pending.acked:
                pending.acked = True
                self.acked += 1
                waiting = pending.segment.pending
                while waiting and waiting[0].acked:
                    pending.segment.settled = waiting.popleft().frame.end
                if not waiting:
                    pending.segment.settled = pending.segment.offset  # past damage behind the last frame

    def settle(self, *, final: bool) -> None:
        """Delete segments that are closed and acknowledged, and note the cursor, at most ten times a second."""
        now = time.monotonic()
        while self._segments and self._is_done(self._segments[0], final=final):
            segment = self._segments.popleft()
            self._note(segment.number + 1, 0)
            with contextlib.suppress(FileNotFoundError):
                self.directory.segment(segment.number).unlink()
            self._start = (segment.number + 1, 0)
        if self._segments and now - self._cursor_at >= _CURSOR_SECONDS:
            self._note(self._segments[0].number, self._segments[0].settled)

    def is_empty(self) -> bool:
        """Whether everything that stands in the segments now has been read and acknowledged."""
        self._look()
        return all(not s.pending and s.offset >= self._size(s) for s in self._segments)

    def position(self) -> tuple[int, int]:
        """(segment, offset) below which everything is acknowledged."""
        for segment in self._segments:
            if segment.pending or segment.settled < self._size(segment):
                return segment.number, segment.settled
        return (self._segments[-1].number, self._segments[-1].settled) if self._segments else self._start

    def flush_cursor(self) -> None:
        if self._segments:
            self._note(self._segments[0].number, self._segments[0].settled)

    def _look(self) -> None:
        known = self._segments[-1].number if self._segments else self._start[0] - 1
        for number in self.directory.segments():
            if number > known:
                self._segments.append(_Segment(number, self._start[1] if number == self._start[0] else 0))

    def _read_segment(self, segment: _Segment, max_bytes: int, *, complete: bool) -> list[Pending]:
        while True:
            buffer = self._bytes(segment, max_bytes)
            whole = len(buffer) < max_bytes
            parsed = parse(buffer, segment.offset, final=complete and whole)
            self.damaged_bytes += parsed.damaged
            segment.offset += parsed.consumed
            found = [Pending(frame, segment) for frame in parsed.frames]
            segment.pending.extend(found)
            if not segment.pending:
                segment.settled = segment.offset
            if found or whole:
                return found
            if not parsed.consumed:
                max_bytes *= 2  # one frame larger than the window

    def _bytes(self, segment: _Segment, size: int) -> bytes:
        try:
            fd = os.open(self.directory.segment(segment.number), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return b""
        try:
            return os.pread(fd, size, segment.offset)
        finally:
            os.close(fd)

    def _size(self, segment: _Segment) -> int:
        try:
            return self.directory.segment(segment.number).stat().st_size
        except FileNotFoundError:
            return 0

    def _has_landed(self, segment: _Segment) -> bool:
        """Whether every append that began before the segment was closed must be in it by now."""
        return segment.closed_at is not None and time.monotonic() - segment.closed_at >= _SETTLE_SECONDS

    def _is_done(self, segment: _Segment, *, final: bool) -> bool:
        if segment.closed_at is None or segment.pending or not (final or self._has_landed(segment)):
            return False
        return segment.offset >= self._size(segment)

    def _note(self, number: int, offset: int) -> None:
        if (number, offset) != self._cursor:
            with contextlib.suppress(OSError):
                write_cursor(self.directory, number, offset)
            self._cursor = (number, offset)
        self._cursor_at = time.monotonic()
