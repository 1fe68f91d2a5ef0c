"""A run of which the sampler has something in memory: what it has said, and since when it is silent."""

from __future__ import annotations

import msgspec

from tailrace.bus import Headers, Partition, Received, Record
from tailrace.event import types
from tailrace.sampling import SampleSettings
from tailrace_consumers.sample.facts import Facts
from tailrace_consumers.sample.policies import Decision

RECORD_OVERHEAD = 250
"""About what a held record takes beside its value."""
RUN_OVERHEAD = 2_000
"""About what a run takes beside its records."""


class Recall(msgspec.Struct, frozen=True):
    """A wish: read this run's records from the events topic, and pass them on.

    They stand at or below `upto`. Without a decision they are first counted, and the run is decided on by all of them.
    """

    partition: Partition
    run: str
    upto: int
    sampled: types.Sampled | None = None


class Waiting:
    """Knows two times of each fact: when the stage was fed it, and when the bus took it.

    The first decides while a stage runs: no clock but its own matters, and a backlog being read is not silence. The
    second decides once everything has been read, by a process that only comes by now and then.
    """

    __slots__ = (
        *("before", "complete", "decision", "ended", "ended_on_bus", "facts", "first_offset", "headers", "heard"),
        *("heard_on_bus", "last_offset", "passing", "records", "since", "size", "to_recall", "told", "whole"),
    )

    def __init__(self, facts: Facts, first_offset: int, now: float, *, whole: bool) -> None:
        self.facts = facts
        self.first_offset = first_offset
        self.last_offset = first_offset
        self.since = now
        self.whole = whole
        """Whether `facts` are those of the run from its first event on."""
        self.records: list[Record] | None = []
        """What waits for the decision, as it is passed on; None: nothing is kept back (any more)."""
        self.headers: Headers = ()
        """Of the last of them."""
        self.complete = whole
        """Whether `records` are all of the run."""
        self.passing = False
        """It is sure to be kept, and each record is passed on as it comes."""
        self.to_recall = False
        """What came before is to be read from the bus and passed on too."""
        self.decision: Decision | None = None
        """The last word on it, which more events may still change."""
        self.before: Decision | None = None
        """The last word of an earlier wait for the same run."""
        self.told: types.Sampled | None = None
        self.size = RUN_OVERHEAD
        self.heard = now
        self.heard_on_bus = 0.0
        self.ended: float | None = None
        self.ended_on_bus = 0.0

    def hear(self, record: Received, now: float, sampled: str) -> int:
        """Note a record, and hold it for the topic `sampled` where any are held; returns the bytes that it takes."""
        self.last_offset = record.offset
        self.heard = now
        if record.timestamp > self.heard_on_bus:  # noqa: PLR1730 - for every record, and max() is a call
            self.heard_on_bus = record.timestamp
        if self.records is None:
            return 0
        # One tuple for all that have the same: four for each would be gone through by each search for garbage.
        if record.headers != self.headers:
            self.headers = record.headers
        self.records.append(Record(sampled, record.key, record.value, self.headers))
        size = len(record.value) + RECORD_OVERHEAD
        self.size += size
        return size

    def end(self, record: Received, now: float) -> None:
        self.ended, self.ended_on_bus = now, record.timestamp

    def resume(self, record: Received, now: float) -> None:
        """Wait again, because of a late record. Where the run was dropped, its earlier records are on the bus only."""
        self.first_offset, self.since = record.offset, now
        self.before, self.decision = self.decision, None
        if not self.passing:
            self.records, self.complete = [], False

    def release(self) -> int:
        """Let go of the records; returns the bytes that they took."""
        freed = self.size - RUN_OVERHEAD
        self.size = RUN_OVERHEAD
        self.records = None
        return freed

    def is_due_by_bus(self, now: float, settings: SampleSettings) -> bool:
        """Whether nothing more needs to be waited for, by the times of the bus."""
        over = self.ended is not None and now >= self.ended_on_bus + settings.grace
        return over or now >= self.heard_on_bus + settings.decision_wait
