"""A run of which the sampler has something in memory: what it has said, and since when it is silent."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tailrace.bus import Partition, Received
from tailrace.bus.bundle import Bundle, extend
from tailrace.event import types
from tailrace.sampling import SampleSettings
from tailrace_consumers.sample.facts import Facts
from tailrace_consumers.sample.policies import Decision

RUN_OVERHEAD, _BUNDLE_OVERHEAD, _RECORD_OVERHEAD = 2_700, 600, 50
"""About what a run takes beside its bundles, a held bundle beside its records, and a record beside its value: measured
with tracemalloc on runs of 5 to 45 events, in CPython 3.11."""


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
        *("before", "bundles", "complete", "decision", "ended", "ended_on_bus", "facts", "first_offset", "heard"),
        *("heard_on_bus", "last_offset", "passing", "since", "size", "to_recall", "told", "whole"),
    )

    def __init__(self, facts: Facts, first_offset: int, now: float, *, whole: bool) -> None:
        self.facts = facts
        self.first_offset = first_offset
        self.last_offset = first_offset
        self.since = now
        self.whole = whole
        """Whether `facts` are those of the run from its first event on."""
        self.bundles: list[Bundle] | None = []
        """What waits for the decision, as it is passed on; None: nothing is kept back (any more)."""
        self.complete = whole
        """Whether `bundles` are all of the run."""
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

    def hear(self, records: Sequence[Received], now: float, sampled: str) -> int:
        """Note records, and hold them for the topic `sampled` where any are held; returns the bytes that they take."""
        self.last_offset = records[-1].offset
        self.heard = now
        size = 0
        for record in records:
            size += len(record.value) + _RECORD_OVERHEAD
            if record.timestamp > self.heard_on_bus:  # noqa: PLR1730 - for every record, and max() is a call
                self.heard_on_bus = record.timestamp
        if self.bundles is None:
            return 0
        before = len(self.bundles)
        extend(self.bundles, records, sampled)
        size += _BUNDLE_OVERHEAD * (len(self.bundles) - before)
        self.size += size
        return size

    def end(self, record: Received, now: float) -> None:
        self.ended, self.ended_on_bus = now, record.timestamp

    def resume(self, record: Received, now: float) -> None:
        """Wait again, because of a late record. Where the run was dropped, its earlier records are on the bus only."""
        self.first_offset, self.since = record.offset, now
        self.before, self.decision = self.decision, None
        if not self.passing:
            self.bundles, self.complete = [], False

    def release(self) -> int:
        """Let go of the records; returns the bytes that they took."""
        freed = self.size - RUN_OVERHEAD
        self.size = RUN_OVERHEAD
        self.bundles = None
        return freed

    def is_due_by_bus(self, now: float, settings: SampleSettings) -> bool:
        """Whether nothing more needs to be waited for, by the times of the bus."""
        over = self.ended is not None and now >= self.ended_on_bus + settings.grace
        return over or now >= self.heard_on_bus + settings.decision_wait
