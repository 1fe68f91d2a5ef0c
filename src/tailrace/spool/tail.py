"""The shipping side of a spool: read frames in order, take acknowledgements in any order, delete what is done."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator

import msgspec

from tailrace.spool import files
from tailrace.spool.append import Spool
from tailrace.spool.cursor import read_cursor, write_cursor
from tailrace.spool.directory import ASIDE, SpoolDirectory, filled
from tailrace.spool.frame import MAGIC, Frame, Parsed, Row, parse

WINDOW = 16 << 10
"""Bytes read and parsed at once: some 0.1 ms in which no other thread runs Python code."""
_CURSOR_SECONDS = 0.1
_FEW = 8
"""Such a part of a window is read where a whole one is not there yet: most of it would be empty room."""
_ANY_BYTES = 64
"""No frame has so many zeros in a row: its body is JSON."""
SETTLE_SECONDS = 1.0
"""A closed segment is deleted this long after it was seen closed: an append that began before the swap has landed."""


_Read = Callable[[int, int], bytes]
"""(offset, size) -> the bytes of a segment, fewer at its end."""


class Window:
    """Frames that were read together, and wait for their acknowledgement together; `end` is the offset behind them."""

    __slots__ = ("count", "end", "left", "rows", "segment")

    def __init__(self, rows: list[Row], segment: _Segment, end: int) -> None:
        self.rows = rows
        """Whoever has taken them over may empty the list."""
        self.segment = segment
        self.end = end
        self.count = self.left = len(rows)
        """Frames in all, and those not acknowledged."""

    @property
    def frames(self) -> list[Frame]:
        return [Frame(*row) for row in self.rows]


class _Segment:
    """Reading state of one segment."""

    __slots__ = ("closed_at", "end", "look_at", "number", "offset", "settled", "waiting")

    def __init__(self, number: int, offset: int) -> None:
        self.number = number
        self.offset = offset
        self.settled = offset
        self.waiting: deque[Window] = deque()
        self.closed_at: float | None = None
        self.look_at = 0.0
        """When a closed one in which nothing was found is looked at again, unless for the last time."""
        self.end: int | None = None
        """Its size, once nothing can come to it any more."""


class Tail:
    """Reads one spool directory; whoever makes one must hold its ship lock. Not thread-safe.

    `writer` is given where the spool is this process's own: it knows at once how far the frames go, and which segment
    no append can reach any more. Elsewhere a segment is closed when it has a successor, or with `final`.

    `guest`: the producer lives, and takes its segments away itself once it is told that they are acknowledged: only it
    knows when no append can reach them. With `final` that ends, and they are deleted here.
    """

    def __init__(
        self, directory: SpoolDirectory, writer: Spool | None = None, *, guest: bool = False, window: int = WINDOW
    ) -> None:
        self.directory = directory
        self._writer = writer
        self._guest = guest
        self.window = window
        """Bytes that are read and parsed at once; may be changed between two reads."""
        first, offset = read_cursor(directory)
        self._segments: deque[_Segment] = deque()
        self._start = (first, offset)
        self._cursor = (first, offset)
        self._cursor_at = 0.0
        self.acked = 0
        """Frames acknowledged through this object."""
        self.settled = 0
        """Those of them with none before them in their segment that is not."""
        self.damaged_bytes = 0
        self._saw_more = False
        """Whether something may stand behind the window that was read last."""
        self._is_let_go = False

    def read(self, *, final: bool) -> Window | None:
        """The next frames, at least one if a whole one is there; None if there are none now.

        `final`: the producer is gone, so what is torn stays torn.

        Raises:
            OSError: the disk cannot be read now, or no file can be opened; to try again loses nothing.
        """
        self._guest = self._guest and not final
        if self._has_all() or self._is_let_go:
            return None
        found = self._read_known(final=final)
        if found is None and self._look():
            found = self._read_known(final=final)
        return found

    def _read_known(self, *, final: bool) -> Window | None:
        for segment in self._segments:
            if self._is_read(segment) or segment.offset == segment.end:
                continue
            if segment.closed_at is None and (final or ASIDE < segment.number < self._segments[-1].number):
                segment.closed_at = time.monotonic()
            complete = final or self._has_landed(segment)
            is_last = complete and not self._guest
            if is_last or segment.closed_at is None or time.monotonic() >= segment.look_at:
                found = self._read_segment(segment, complete=complete)
                if found:
                    return found
                if segment.closed_at is not None:  # its last appends come at once, or hardly ever
                    segment.look_at = 2 * time.monotonic() - segment.closed_at
        return None

    def let_go(self) -> None:
        """The directory is another's by now, whatever its name: read, delete and note nothing in it any more.

        What was read may still be acknowledged.
        """
        self._is_let_go = True

    def is_behind(self) -> bool:
        """Whether there is much to read: beside a writer, a whole window; else what the last window did not hold."""
        if self._writer is None or len(self._segments) != 1:
            return self._saw_more
        number, end = self._writer.written()
        return number != self._segments[0].number or end - self._segments[0].offset >= self.window

    def ack(self, window: Window, count: int) -> None:
        """Mark so many frames of a window as taken by the bus (or put aside for good)."""
        self.acked += count
        window.left -= count
        segment = window.segment
        while segment.waiting and not segment.waiting[0].left:
            done = segment.waiting.popleft()
            segment.settled = done.end
            self.settled += done.count
        if not segment.waiting:
            segment.settled = segment.offset  # past damage behind the last frame

    def settle(self, *, final: bool) -> None:
        """Delete segments that are closed and acknowledged, and note the cursor, at most ten times a second."""
        if self._is_let_go:
            return
        self._guest = self._guest and not final
        now = time.monotonic()
        for segment in [segment for segment in self._segments if self._is_done(segment, final=final)]:
            if segment is next(self._in_order(), None):
                self._note(segment.number + 1, 0)
                self._start = (segment.number + 1, 0)
            elif segment.number != ASIDE:
                break  # the cursor only moves over what is gone
            self._segments.remove(segment)
            if not self._guest and (final or self._writer is None or not self._writer.reuse(segment.number)):
                with contextlib.suppress(FileNotFoundError):
                    self.directory.segment(segment.number).unlink()
        if now - self._cursor_at >= _CURSOR_SECONDS:
            self.flush_cursor()

    def _has_all(self) -> bool:
        """Whether the writer says that there is nothing to read: asked often, and it costs no system call."""
        if self._writer is None or len(self._segments) != 1 or self._writer.has_aside():
            return False
        return self._is_read(self._segments[0])

    def _is_read(self, segment: _Segment) -> bool:
        """Whether the writer says that it appends to that segment, and nothing behind what was read."""
        return self._writer is not None and (segment.number, segment.offset) == self._writer.written()

    def is_empty(self) -> bool:
        """Whether everything that stands in the segments now has been read and acknowledged. Raises as `read`."""
        if self._is_let_go:
            return not any(segment.waiting for segment in self._segments)
        self._look()
        return all(not segment.waiting and self._at_end(segment) for segment in self._segments)

    def awaits_landing(self) -> bool:
        """Whether there are closed segments that an append may still be on its way into."""
        return any(segment.closed_at is not None for segment in self._segments)

    def position(self) -> tuple[int, int]:
        """(segment, offset) below which everything is acknowledged."""
        for segment in self._segments:
            if segment.waiting or not self._at_end(segment):
                return segment.number, segment.settled
        last = self._segments[-1] if self._segments else None
        return (last.number, last.settled) if last is not None and last.number != ASIDE else self._start

    def flush_cursor(self) -> None:
        first = next(self._in_order(), None)
        if first is not None and not self._is_let_go:
            self._note(first.number, first.settled)

    def _in_order(self) -> Iterator[_Segment]:
        """All but the one aside: those over which the cursor moves."""
        return (segment for segment in self._segments if segment.number != ASIDE)

    def _look(self) -> bool:
        """Take up segments that came since; whether there are any."""
        before = len(self._segments)
        known = max([segment.number for segment in self._in_order()], default=self._start[0] - 1)
        if not any(segment.number == ASIDE for segment in self._segments):
            aside = _Segment(ASIDE, 0)
            if not self._at_end(aside):
                self._segments.appendleft(aside)
        for number in self.directory.segments():
            if number > known:
                self._segments.append(_Segment(number, self._start[1] if number == self._start[0] else 0))
        return len(self._segments) > before

    def _read_segment(self, segment: _Segment, *, complete: bool) -> Window | None:
        mapped = self._writer.mapped(segment.number) if self._writer is not None else None
        if mapped is not None:
            return self._read_from(lambda offset, size: mapped[offset : offset + size], segment, complete=complete)
        try:
            fd = files.open_to_read(self.directory.segment(segment.number))
        except FileNotFoundError:
            return None
        try:
            return self._read_from(lambda offset, size: os.pread(fd, size, offset), segment, complete=complete)
        finally:
            os.close(fd)

    def _read_from(self, read: _Read, segment: _Segment, *, complete: bool) -> Window | None:
        if self._guest and not any(read(segment.offset, len(MAGIC))):
            return None  # nothing, and more may come, for as long as the producer leaves the segment here
        whole = self._whole_upto(segment)
        size = self.window
        if self._guest and not _is_written(read, segment.offset + size):
            size //= _FEW
        while True:
            is_whole = bool(whole) or (self._guest and _is_written(read, segment.offset + size))
            buffer = read(segment.offset, min(size, whole - segment.offset) if whole else size)
            parsed = parse(buffer, segment.offset, final=False, verify=not is_whole)
            behind = buffer[parsed.consumed : parsed.consumed + len(MAGIC)]
            if parsed.rows or len(buffer) < size or not any(behind):
                break
            size *= 2  # one frame larger than the window, or damage as large
        if not parsed.rows and complete:
            parsed = self._rest(segment) if buffer else parsed
            segment.end = None if self._guest else segment.offset + parsed.consumed  # not to be opened again
        self._saw_more = segment is not self._segments[-1] or any(behind) or len(behind) < len(MAGIC)
        return self._taken(segment, parsed)

    def _taken(self, segment: _Segment, parsed: Parsed) -> Window | None:
        self.damaged_bytes += parsed.damaged
        segment.offset += parsed.consumed
        window = Window(parsed.rows, segment, segment.offset) if parsed.rows else None
        if window is not None:
            segment.waiting.append(window)
        elif not segment.waiting:
            segment.settled = segment.offset
        return window

    def _rest(self, segment: _Segment) -> Parsed:
        """What stands behind the last frame that was whole. The room that was left, often megabytes, is not read."""
        path = self.directory.segment(segment.number)
        parsed = parse(self._bytes(segment, max(0, filled(path) - segment.offset)), segment.offset, final=True)
        return msgspec.structs.replace(parsed, consumed=files.size(path) - segment.offset)

    def _whole_upto(self, segment: _Segment) -> int:
        """Up to where every frame is known to be whole, because this process wrote it; 0 where that is not known."""
        if self._writer is None:
            return 0
        number, end = self._writer.written()
        if number == segment.number:
            return end if end > segment.offset else 0
        if segment.end is None and self._has_landed(segment):
            segment.end = files.size(self.directory.segment(segment.number))
        return segment.end or 0

    def _bytes(self, segment: _Segment, size: int) -> bytes:
        try:
            fd = files.open_to_read(self.directory.segment(segment.number))
        except FileNotFoundError:
            return b""
        try:
            return os.pread(fd, size, segment.offset)
        finally:
            os.close(fd)

    def _at_end(self, segment: _Segment) -> bool:
        """Whether nothing was appended behind what was read."""
        return self._is_read(segment) or not any(self._bytes(segment, len(MAGIC)))

    def _has_landed(self, segment: _Segment) -> bool:
        """Whether every append that began before the segment was closed must be in it by now."""
        if segment.closed_at is None:
            return False
        if self._writer:
            return self._writer.is_let_go(segment.number)
        return time.monotonic() - segment.closed_at >= SETTLE_SECONDS

    def _is_done(self, segment: _Segment, *, final: bool) -> bool:
        """Whether the segment can go: nothing comes to it any more, and all that came was read and acknowledged."""
        if segment.closed_at is None or segment.waiting or not (final or self._has_landed(segment)):
            return False
        if self._guest:
            return not self.directory.segment(segment.number).exists()
        return segment.offset >= files.size(self.directory.segment(segment.number))

    def _note(self, number: int, offset: int) -> None:
        if (number, offset) != self._cursor:
            with contextlib.suppress(OSError):
                write_cursor(self.directory, number, offset)
            self._cursor = (number, offset)
        self._cursor_at = time.monotonic()


def _is_written(read: _Read, offset: int) -> bool:
    """Whether a living producer has come so far: then every frame that ends before was whole.

    They are written one after the other.
    """
    return any(read(offset, _ANY_BYTES))
