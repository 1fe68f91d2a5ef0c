"""The bus moves records: the words, the contract, and nothing of any broker.

`tests/conformance/bus.py` states the contract as tests; memory, SQLite and Kafka pass the same suite.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, NamedTuple, Protocol

import msgspec

Headers = tuple[tuple[str, bytes], ...]


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int


class Record(msgspec.Struct, frozen=True, gc=False):
    """What is published: the partition follows from the key (`tailrace.bus.topics.partition_of`)."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers = ()


class Received(msgspec.Struct, frozen=True, gc=False):
    """A record as read back: where it stood, and when the bus took it (seconds since 1970)."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: Headers
    timestamp: float

    @property
    def source(self) -> Partition:
        return Partition(self.topic, self.partition)


class Batch(msgspec.Struct, frozen=True):
    """What one `receive` gave.

    `records` keep their order within a partition. `revoked` names partitions taken away since the last call: state
    held for them must be forgotten before `records` are read, because another member reads them from the committed
    offset on. `caught_up` is true when at the time of the call nothing more was there to read.
    """

    records: Sequence[Received] = ()
    revoked: Collection[Partition] = ()
    caught_up: bool = False


class TopicInfo(msgspec.Struct, frozen=True):
    """A topic as it is on the bus."""

    name: str
    partitions: int
    records: int
    """Records held now (Kafka: end offset minus begin offset, which counts what retention has not yet removed)."""


Start = Literal["earliest", "latest"] | float
"""Where to read without a committed offset: a float is a time, seconds since 1970."""


UNBOUNDED = 1 << 62
"""More bytes than any batch has."""


class Subscription(Protocol):
    """A reader of topics. Not thread-safe: one task calls it."""

    @property
    def active(self) -> bool:
        """Whether this member reads for its group; without a group always true.

        False before the first `receive` has joined the group, while the group is formed anew, and while other members
        hold everything that there is to read. Then `receive` gives no records and is not caught up; such a member
        stands by and takes over when the others end.
        """
        ...

    async def receive(self, *, max_records: int = 500, max_bytes: int = UNBOUNDED, wait: float = 1.0) -> Batch:
        """At most `max_records` records, after at most `wait` seconds (0: only what is there already).

        `max_bytes`: of the records' values together; a first record that is larger comes alone. Kafka does not keep it:
        there it is the client's fetch that is bounded, to 16 MiB.

        New topics that fit the subscription are picked up within seconds, from their first record.

        Raises:
            BusError: the bus cannot be read; when retryable, calling again resumes at the same place.
        """
        ...

    async def commit(self, upto: Mapping[Partition, int]) -> None:
        """Remember for the group that everything below these offsets (next to read) is done.

        Partitions that this member no longer owns are ignored. Never moves the subscription itself.

        Raises:
            BusError: not remembered; the records may be delivered again.
        """
        ...


class Bus(Protocol):
    """Moves records between processes. All methods may be called from any task of one event loop.

    A bus connects on its first call, and may be used for publishing and for any number of subscriptions.
    """

    async def publish(self, records: Sequence[Record]) -> None:
        """Returns when every record is durable (Kafka: acks=all; SQLite: committed). Creates missing topics.

        Records of one key keep their order. At least once: after an error any part may have been written, and
        publishing the same records again is the way to go on.

        Raises:
            BusError: with `retryable`; not retryable means that one of the records will never be taken.
        """
        ...

    def subscribe(
        self, *topics: str, group: str | None = None, start: Start = "earliest"
    ) -> AbstractAsyncContextManager[Subscription]:
        """Read topics; a name ending in `*` stands for every topic with that prefix, also future ones.

        With a group, reading begins at the group's committed offsets (else at `start`), members share the work, and
        each partition is read by one member at a time. Without one, every record from `start` on is read, nothing
        is committed, and `commit` does nothing.
        """
        ...

    async def create_topics(self, names: Collection[str]) -> None:
        """Create those that do not exist, with the configured partitions, replication and retention. Idempotent."""
        ...

    async def topics(self, prefix: str = "") -> list[TopicInfo]:
        """The topics whose names begin with `prefix`, by name."""
        ...

    async def lag(self, *topics: str, group: str) -> dict[Partition, int]:
        """Records that the group has not committed, per partition of the topics (patterns as in `subscribe`)."""
        ...

    async def aclose(self) -> None:
        """Release connections. Idempotent; later calls raise `ClosedError`."""
        ...


def fitting(records: Sequence[Received], max_bytes: int) -> Sequence[Received]:
    """The first of the records, as many as have values of at most so many bytes together."""
    if max_bytes >= UNBOUNDED:
        return records
    size = 0
    for place, record in enumerate(records):
        size += len(record.value)
        if size > max_bytes:
            return records[:place]
    return records


def matches(name: str, patterns: Collection[str]) -> bool:
    """Whether a topic name fits one of the patterns of `Bus.subscribe`."""
    return any(name.startswith(p[:-1]) if p.endswith("*") else name == p for p in patterns)
