"""A run that holds its first offset: what it has said, and since when it is silent."""

from __future__ import annotations

from tailrace.bus import Received
from tailrace.config import SampleSettings

_RECORD_OVERHEAD = 400
"""About what a held record takes beside its value."""


class Waiting:
    """Knows two times of each fact: when the stage was fed it, and when the bus took it.

    The first decides while a stage runs: no clock but its own matters, and a backlog being read is not silence. The
    second decides once everything has been read, by a process that only comes by now and then.
    """

    __slots__ = ("_ended", "_ended_on_bus", "_heard", "_heard_on_bus", "_size", "first_offset", "records")

    def __init__(self, first_offset: int) -> None:
        self.first_offset = first_offset
        self.records: list[Received] = []
        self._size = 0
        self._heard = self._heard_on_bus = 0.0
        self._ended: float | None = None
        self._ended_on_bus: float | None = None

    def hear(self, record: Received, now: float, *, ended: bool, keep: bool) -> int:
        """Note a record, and with `keep` hold it; returns the bytes that it takes."""
        self._heard = now
        self._heard_on_bus = max(self._heard_on_bus, record.timestamp)
        if ended and self._ended is None:
            self._ended, self._ended_on_bus = now, record.timestamp
        if not keep:
            return 0
        self.records.append(record)
        size = len(record.value) + _RECORD_OVERHEAD
        self._size += size
        return size

    def release(self) -> int:
        """Let go of the records; returns the bytes that they took."""
        freed, self._size = self._size, 0
        self.records = []
        return freed

    def is_due(self, now: float, settings: SampleSettings) -> bool:
        """Whether nothing more needs to be waited for, by the times of feeding."""
        return _is_due(self._heard, self._ended, now, settings)

    def is_due_by_bus(self, now: float, settings: SampleSettings) -> bool:
        """The same by the times of the bus."""
        return _is_due(self._heard_on_bus, self._ended_on_bus, now, settings)


def _is_due(heard: float, ended: float | None, now: float, settings: SampleSettings) -> bool:
    return now >= heard + settings.decision_wait or (ended is not None and now >= ended + settings.grace)
