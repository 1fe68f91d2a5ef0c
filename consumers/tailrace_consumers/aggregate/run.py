"""What the aggregate stage holds of a run."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

from tailrace.document.parsed import Head

EVENT_OVERHEAD = 60
"""What holding an event takes beside its bytes: the head of an object, and its places in lists."""
NO_OFFSET = -1
"""Of an event that the stage itself made."""


class Taken(NamedTuple):
    """Events for one document: as they came, and where they stood in their partition."""

    values: list[bytes]
    offsets: array[int]

    def only(self, places: Sequence[int]) -> Taken:
        return Taken([self.values[n] for n in places], array("q", [self.offsets[n] for n in places]))

    def halves(self) -> tuple[Taken, Taken]:
        middle = len(self.values) // 2
        return Taken(self.values[:middle], self.offsets[:middle]), Taken(self.values[middle:], self.offsets[middle:])


class Run:
    """Its events as they came, of which the first `emitted` stand in a document already.

    Bytes and offsets are all that is held of an event: parsed it takes some five times as much, and then it costs as
    much to reach it again in memory as to parse it again.
    """

    __slots__ = (
        *("emitted", "ended", "first_offset", "heard_at", "held_bytes", "last_ts"),
        *("moved_at", "offsets", "overflowed", "pending_since", "values", "workflow"),
    )

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.offsets = array("q")
        self.emitted = 0
        self.held_bytes = 0
        self.ended = False
        self.overflowed = False
        """Its whole document does not go into one record, so events are let go once they are emitted."""
        self.heard_at = self.moved_at = 0.0
        """When it last spoke, and when it was last put behind all other runs, which is not done for each event."""
        self.first_offset = NO_OFFSET
        """Of the events not emitted yet, as is `pending_since`; no offset: there are none."""
        self.pending_since = 0.0
        self.last_ts = self.workflow = ""
        """The latest time of all events so far, and the workflow of the last."""

    def hear(self, value: bytes, offset: int, event: Head, now: float) -> int:
        """Hold an event; returns the bytes that it takes."""
        self.heard_at = now
        self.workflow = event.workflow
        if event.ts > self.last_ts:  # noqa: PLR1730 - for every event, and max() is a call
            self.last_ts = event.ts
        self.values.append(value)
        self.offsets.append(offset)
        size = len(value) + EVENT_OVERHEAD
        self.held_bytes += size
        return size

    def take(self) -> Taken:
        """The events of the next document: the whole run if it has ended and fits, else what is new."""
        begin = 0 if self.ended and not self.overflowed else self.emitted
        taken = Taken(self.values[begin:], self.offsets[begin:])
        self.first_offset = NO_OFFSET
        if self.overflowed:
            self.values, self.offsets, self.emitted, self.held_bytes = [], array("q"), 0, 0
        else:
            self.emitted = len(self.values)
        return taken

    def remove(self, offset: int) -> int:
        """Hold the event of that offset no longer, if it is held; returns the bytes that it took."""
        if offset not in self.offsets:
            return 0
        place = self.offsets.index(offset)
        del self.offsets[place]
        size = len(self.values.pop(place)) + EVENT_OVERHEAD
        self.emitted -= place < self.emitted
        self.held_bytes -= size
        return size
