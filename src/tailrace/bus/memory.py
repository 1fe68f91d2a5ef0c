"""A bus in the memory of one process, for tests and demonstrations: `memory:` or `memory:name`.

Everything that opens the same URL shares one bus, from any thread and event loop. Its records live until the process
ends; `topics.retention_hours` does not apply.
"""

from __future__ import annotations

import asyncio
import threading
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

from tailrace.bus import UNBOUNDED, Batch, Partition, Received, Record, Start, TopicInfo, fitting, matches
from tailrace.bus.topics import partition_of
from tailrace.config import Config, TopicSettings
from tailrace.errors import ClosedError

if TYPE_CHECKING:
    from tailrace.bus import Bus, Subscription


class _Shared:
    """What all who opened one URL share. Every access holds `lock`."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.topics: dict[str, list[list[Received]]] = {}
        self.committed: dict[str, dict[Partition, int]] = {}
        self.readers: dict[str, MemorySubscription] = {}
        """The active member of each group."""
        self._sleepers: list[Future[None]] = []

    def create(self, topic: str, partitions: int) -> list[list[Received]]:
        return self.topics.setdefault(topic, [[] for _ in range(partitions)])

    def matching(self, patterns: Collection[str]) -> Iterator[tuple[Partition, list[Received]]]:
        for topic, partitions in self.topics.items():
            if matches(topic, patterns):
                for number, records in enumerate(partitions):
                    yield Partition(topic, number), records

    def starting_at(self, start: Start, patterns: Collection[str]) -> dict[Partition, int]:
        """The first offset to read, of those partitions that are not read from their first record."""
        if start == "earliest":
            return {}
        if start == "latest":
            return {partition: len(records) for partition, records in self.matching(patterns)}
        return {
            partition: bisect_left(records, start, key=lambda record: record.timestamp)
            for partition, records in self.matching(patterns)
        }

    def sleeper(self) -> Future[None]:
        """Done at the next `wake`."""
        future: Future[None] = Future()
        self._sleepers = [other for other in self._sleepers if not other.cancelled()] + [future]
        return future

    def wake(self) -> None:
        """Something changed: readers look again, each on its own event loop."""
        sleepers, self._sleepers = self._sleepers, []
        for future in sleepers:
            if future.set_running_or_notify_cancel():
                future.set_result(None)


_shared: dict[str, _Shared] = {}
_shared_lock = threading.Lock()


def open_bus(config: Config) -> MemoryBus:
    with _shared_lock:
        shared = _shared.setdefault(config.bus_url, _Shared())
    return MemoryBus(config.bus_url, shared, config.topics)


class MemoryBus:
    """See `tailrace.bus.Bus`. A group has one active member; a further one takes over when it ends."""

    def __init__(self, url: str, shared: _Shared, settings: TopicSettings) -> None:
        self._url = url
        self._shared = shared
        self._partitions = settings.partitions or 1
        self._closed = False

    async def publish(self, records: Sequence[Record]) -> None:
        self.check_open()
        await anyio.lowlevel.checkpoint()
        with self._shared.lock:
            now = time.time()
            for record in records:
                partitions = self._shared.create(record.topic, self._partitions)
                number = partition_of(record.key, len(partitions))
                held = partitions[number]
                held.append(
                    Received(record.topic, number, len(held), record.key, record.value, record.headers, timestamp=now)
                )
            self._shared.wake()

    @asynccontextmanager
    async def subscribe(
        self, *topics: str, group: str | None = None, start: Start = "earliest"
    ) -> AsyncIterator[MemorySubscription]:
        self.check_open()
        with self._shared.lock:
            subscription = MemorySubscription(self, self._shared, topics, group, start)
        try:
            yield subscription
        finally:
            with self._shared.lock:
                subscription.close()
                self._shared.wake()

    async def create_topics(self, names: Collection[str]) -> None:
        self.check_open()
        with self._shared.lock:
            for name in names:
                self._shared.create(name, self._partitions)

    async def topics(self, prefix: str = "") -> list[TopicInfo]:
        self.check_open()
        with self._shared.lock:
            return [
                TopicInfo(name, len(partitions), sum(map(len, partitions)))
                for name, partitions in sorted(self._shared.topics.items())
                if name.startswith(prefix)
            ]

    async def lag(self, *topics: str, group: str) -> dict[Partition, int]:
        self.check_open()
        with self._shared.lock:
            committed = self._shared.committed.get(group, {})
            return {
                partition: len(records) - committed.get(partition, 0)
                for partition, records in self._shared.matching(topics)
            }

    async def aclose(self) -> None:
        self._closed = True
        with self._shared.lock:
            self._shared.wake()

    def check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the bus {self._url} was closed")


class MemorySubscription:
    """See `tailrace.bus.Subscription`."""

    def __init__(
        self, bus: MemoryBus, shared: _Shared, patterns: Collection[str], group: str | None, start: Start
    ) -> None:
        self._bus = bus
        self._shared = shared
        self._patterns = patterns
        self._group = group
        self._positions: dict[Partition, int] | None = None
        """Next offset by partition; a partition not in it is read from its first record. None: standing by."""
        self._closed = False
        starting = shared.starting_at(start, patterns)
        if group is None:
            self._positions = starting
        else:
            shared.committed[group] = starting | shared.committed.get(group, {})

    @property
    def active(self) -> bool:
        return self._positions is not None

    async def receive(self, *, max_records: int = 500, max_bytes: int = UNBOUNDED, wait: float = 1.0) -> Batch:
        await anyio.lowlevel.checkpoint()
        deadline = time.monotonic() + wait
        while True:
            self._check_open()
            with self._shared.lock:
                batch = self._read(max_records, max_bytes)
                left = deadline - time.monotonic()
                if batch.records or left <= 0:
                    return batch
                changed = self._shared.sleeper()
            with anyio.move_on_after(left):
                await asyncio.wrap_future(changed)

    async def commit(self, upto: Mapping[Partition, int]) -> None:
        self._check_open()
        if self._group is not None and self.active:
            with self._shared.lock:
                self._shared.committed[self._group].update(upto)

    def close(self) -> None:
        """Let another member of the group take over. The caller holds the lock."""
        self._closed = True
        if self._group is not None and self._shared.readers.get(self._group) is self:
            del self._shared.readers[self._group]

    def _check_open(self) -> None:
        self._bus.check_open()
        if self._closed:
            raise ClosedError("the subscription was closed")

    def _take_turn(self, group: str) -> None:
        if self._shared.readers.setdefault(group, self) is self:
            self._positions = dict(self._shared.committed[group])

    def _read(self, max_records: int, max_bytes: int) -> Batch:
        if self._positions is None and self._group is not None:
            self._take_turn(self._group)
        if self._positions is None:
            return Batch()
        records: list[Received] = []
        left = max_bytes
        for partition, held in self._shared.matching(self._patterns):
            position = self._positions.get(partition, 0)
            found = held[position : position + max_records - len(records)]
            fresh = fitting(found, left) or ([] if records else found[:1])
            left -= sum(len(record.value) for record in fresh)
            records += fresh
            self._positions[partition] = position + len(fresh)
        return Batch(records, caught_up=not records)


if TYPE_CHECKING:
    _bus: type[Bus] = MemoryBus
    _subscription: type[Subscription] = MemorySubscription
