"""What the tests of a bus stand on: the features that differ, the fixtures, and the words for records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio
import anyio.to_thread
import pytest

from tailrace.bus import Bus, Partition, Received, Record, Subscription
from tailrace.config import Config, TopicSettings
from tailrace.registry import open_bus

PATIENCE = 40.0
"""Seconds until a test gives up; nothing here waits for this long unless it fails."""


class Features(NamedTuple):
    """In what buses may differ."""

    default_partitions: int
    """Partitions of a topic without a setting."""
    splits_partitions: bool
    """Members of a group share the partitions; else one reads and the others stand by."""
    survives_restart: bool
    """Records are there for other processes, and after all of them ended."""
    bounds_bytes: bool = True
    """A batch keeps to `max_bytes`; else the client's fetch has a bound of its own."""


def records(topic: str, count: int, *, key: str = "run", first: int = 0) -> list[Record]:
    return [Record(topic, key.encode(), str(number).encode()) for number in range(first, first + count)]


def values(received: Sequence[Received]) -> list[int]:
    return [int(record.value) for record in received]


async def read(subscription: Subscription, count: int, *, commit: bool = False) -> list[Received]:
    """Receives until `count` records are there, and no more than those."""
    received: list[Received] = []
    with anyio.fail_after(PATIENCE):
        while len(received) < count:
            batch = await subscription.receive(max_records=count - len(received), wait=1.0)
            revoked = set(batch.revoked)
            received = [record for record in received if record.source not in revoked]
            received += batch.records
    if commit:
        await subscription.commit(after(received))
    return received


async def read_to_end(subscription: Subscription, *, wait: float = 0.2) -> list[Received]:
    """Receives until the subscription says that there is nothing more."""
    received: list[Received] = []
    with anyio.fail_after(PATIENCE):
        while True:
            batch = await subscription.receive(wait=wait)
            received += batch.records
            if batch.caught_up:
                return received


def after(received: Sequence[Received]) -> dict[Partition, int]:
    """What to commit when these are done."""
    upto: dict[Partition, int] = defaultdict(int)
    for record in received:
        upto[record.source] = max(upto[record.source], record.offset + 1)
    return dict(upto)


@asynccontextmanager
async def opened(bus: Bus) -> AsyncIterator[Bus]:
    try:
        yield bus
    finally:
        await bus.aclose()


class BusCase:
    features: Features

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def another(self, url: str) -> Callable[..., Bus]:
        """Opens the same bus once more; `async with opened(another()) as bus`."""

        def another(**topics: int) -> Bus:
            return open_bus(Config(bus=url, topics=TopicSettings(**topics)))

        return another

    @pytest.fixture
    async def bus(self, another: Callable[..., Bus]) -> AsyncIterator[Bus]:
        async with opened(another()) as bus:
            yield bus

    @pytest.fixture
    def topic(self, prefix: str) -> str:
        return f"{prefix}.events.first"

    @pytest.fixture
    def group(self, prefix: str) -> str:
        return f"{prefix}-group"
