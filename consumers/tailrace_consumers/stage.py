"""A stage is one step between two topics, or between a topic and the store: pure, so that any crash can be replayed.

No await, no clock (`now` is a parameter), no client. What it gives back is written by the runner, which then commits
offsets up to what `held` allows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

from tailrace.bus import Partition, Received
from tailrace.bus.bundle import Bundle
from tailrace.document import Document
from tailrace_consumers.dead_letters import DeadLetter

Item_co = TypeVar("Item_co", covariant=True)
"""What a stage writes: `Record` and `Bundle` for the bus, `Merge` for the store."""

RunKey = tuple[Partition, str]
"""A run as one partition holds it. State is kept by it, so that a revoked partition takes along exactly its own."""


class Merge(msgspec.Struct, frozen=True):
    """A document to join into the store, and the records that it came from."""

    document: Document
    sources: Sequence[Received]


def size_of(item: object) -> int:
    """How many things a stage writes with an item."""
    return len(item.values) if isinstance(item, Bundle) else 1


class Stage(Protocol[Item_co]):
    """Fed in the order of offsets within a partition. Times are seconds since 1970.

    Records may come twice (a crash, a rebalance, an exception out of `feed`) and the same output may be written
    twice: both must lead to the same documents.
    """

    def feed(self, records: Sequence[Received], now: float) -> Iterable[Item_co | DeadLetter]:
        """Take records in; what can be said at once is given back. Records that can never be read are dead letters.

        Any exception means that one of the records is poison: the runner feeds them again in halves to find it. What
        was given back before the exception is written, so only a generator may fail behind output that counts.
        """
        ...

    def tick(self, now: float) -> Iterable[Item_co | DeadLetter]:
        """What has become due by time alone. Called after each `feed`, at least about once a second."""
        ...

    def finish(self, now: float, *, caught_up: bool) -> Iterable[Item_co | DeadLetter]:
        """All that may be emitted before the stage ends.

        `caught_up`: every record that stood on the bus at `now` has been fed, so silence may be measured by the
        records' own timestamps.
        """
        ...

    def held(self) -> Mapping[Partition, int]:
        """The lowest offset of each partition that must not be committed past; none for those that hold nothing."""
        ...

    def forget(self, partitions: Collection[Partition]) -> None:
        """Drop all state of these partitions: another member reads them from the committed offset on."""
        ...

    def counts(self) -> Mapping[str, int]:
        """What it has counted or holds, by name, for people and for metrics.

        Names with a metric of their own: `runs` or `undecided` (held now), `held_bytes`, and the decisions so far:
        `kept_by_<reason>`, `dropped`, `dropped_by_<reason>`.
        """
        ...
