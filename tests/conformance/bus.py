"""The contract of a bus as tests. A new bus subclasses `BusConformance`, says what it can, and passes.

class TestMyBus(BusConformance):
    features = Features(...)

    @pytest.fixture
    def url(self) -> str: ...
"""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio
import anyio.to_thread
import pytest

from tailrace.bus import Batch, Bus, Partition, Received, Record, Subscription
from tailrace.bus.topics import partition_of
from tailrace.config import Config, TopicSettings
from tailrace.errors import ClosedError
from tailrace.registry import open_bus
from tests.conformance import publisher

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


async def read_to_end(subscription: Subscription) -> list[Received]:
    """Receives until the subscription says that there is nothing more."""
    received: list[Received] = []
    with anyio.fail_after(PATIENCE):
        while True:
            batch = await subscription.receive(wait=0.2)
            received += batch.records
            if batch.caught_up:
                return received


def after(received: Sequence[Received]) -> dict[Partition, int]:
    """What to commit when these are done."""
    upto: dict[Partition, int] = defaultdict(int)
    for record in received:
        upto[record.source] = max(upto[record.source], record.offset + 1)
    return dict(upto)


@pytest.mark.anyio
class BusConformance:
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

    async def test_a_record_comes_back_as_it_was_published(self, bus: Bus, topic: str):
        before = time.time()
        headers = (("content-type", b"a/b"), ("x", b"\x00\xff"), ("x", b""))
        record = Record(topic, b"\x00\xffkey", b"\x00\xff\n{}", headers)
        await bus.publish([record])
        async with bus.subscribe(topic) as subscription:
            (received,) = await read(subscription, 1)
        assert (received.topic, received.key, received.value) == (topic, record.key, record.value)
        assert received.headers == headers
        assert received.offset == 0
        assert before - 1 <= received.timestamp <= time.time() + 1

    async def test_an_empty_value_and_no_headers_come_back(self, bus: Bus, topic: str):
        await bus.publish([Record(topic, b"key", b"")])
        async with bus.subscribe(topic) as subscription:
            (received,) = await read(subscription, 1)
        assert (received.value, received.headers) == (b"", ())

    async def test_publishing_creates_the_topic_as_configured(
        self, another: Callable[..., Bus], topic: str, prefix: str
    ):
        async with opened(another()) as bus, opened(another(partitions=3)) as wide:
            await bus.publish(records(topic, 2))
            await wide.publish(records(f"{topic}-wide", 1))
            found = {info.name: (info.partitions, info.records) for info in await bus.topics(prefix)}
        assert found == {topic: (self.features.default_partitions, 2), f"{topic}-wide": (3, 1)}

    async def test_publishing_nothing_is_fine(self, bus: Bus, prefix: str):
        await bus.publish([])
        assert await bus.topics(prefix) == []

    async def test_topics_are_created_once_and_listed_by_name(self, bus: Bus, prefix: str):
        names = [f"{prefix}.b", f"{prefix}.a"]
        await bus.create_topics(names)
        await bus.create_topics([*names, f"{prefix}.c"])
        assert [(info.name, info.records) for info in await bus.topics(prefix)] == [
            (f"{prefix}.a", 0),
            (f"{prefix}.b", 0),
            (f"{prefix}.c", 0),
        ]

    async def test_records_of_a_key_keep_their_order_in_the_partition_of_its_murmur2(
        self, another: Callable[..., Bus], topic: str
    ):
        async with opened(another(partitions=4)) as bus:
            keys = [f"run-{number}" for number in range(8)]
            mixed = [record for at in range(25) for key in keys for record in records(topic, 1, key=key, first=at)]
            await bus.publish(mixed)
            async with bus.subscribe(topic) as subscription:
                received = await read(subscription, len(mixed))
        for key in keys:
            mine = [record for record in received if record.key == key.encode()]
            assert values(mine) == list(range(25))
            assert {record.partition for record in mine} == {partition_of(key.encode(), 4)}

    async def test_five_thousand_records_arrive_in_order_without_gaps(self, bus: Bus, topic: str):
        await bus.publish([Record(topic, b"run", b"%d" % number, (("pad", b"x" * 300),)) for number in range(5000)])
        async with bus.subscribe(topic) as subscription:
            received = await read_to_end(subscription)
        assert values(received) == list(range(5000))
        assert [record.offset for record in received] == list(range(5000))

    async def test_publishers_on_two_event_loops_keep_their_own_order(self, bus: Bus, url: str, topic: str):
        await bus.create_topics([topic])
        threads = [
            threading.Thread(target=anyio.run, args=(publisher.publish, url, topic, key, 100)) for key in ("a", "b")
        ]
        async with bus.subscribe(topic) as subscription:
            for thread in threads:
                thread.start()
            received = await read(subscription, 200)
        for thread in threads:
            await anyio.to_thread.run_sync(thread.join)
        for key in (b"a", b"b"):
            assert values([record for record in received if record.key == key]) == list(range(100))

    async def test_publishers_in_two_processes_keep_their_own_order(self, bus: Bus, url: str, topic: str):
        if not self.features.survives_restart:
            pytest.skip("lives in one process")
        async with anyio.create_task_group() as tasks:
            for key in ("a", "b"):
                tasks.start_soon(anyio.run_process, [sys.executable, publisher.__file__, url, topic, key, "100"])
            async with bus.subscribe(topic) as subscription:
                received = await read(subscription, 200)
        for key in (b"a", b"b"):
            assert values([record for record in received if record.key == key]) == list(range(100))

    async def test_a_waiting_reader_gets_a_record_long_before_its_wait_is_over(self, bus: Bus, topic: str):
        await bus.create_topics([topic])
        async with bus.subscribe(topic) as subscription, anyio.create_task_group() as tasks:
            await read_to_end(subscription)
            tasks.start_soon(bus.publish, records(topic, 1))
            with anyio.fail_after(10):
                batch = await subscription.receive(wait=30)
        assert values(batch.records) == [0]

    async def test_receive_gives_at_most_what_was_asked_for(self, bus: Bus, topic: str):
        await bus.publish(records(topic, 10))
        async with bus.subscribe(topic) as subscription:
            assert values(await read(subscription, 3)) == [0, 1, 2]
            assert values(await read_to_end(subscription)) == list(range(3, 10))

    async def test_an_open_pattern_picks_up_new_topics_from_their_first_record(self, bus: Bus, prefix: str, group: str):
        for name in (None, group):
            pattern = f"{prefix}.{name}.*"
            async with bus.subscribe(pattern, group=name) as subscription:
                await bus.publish(records(f"{prefix}.{name}.old", 1))
                await read(subscription, 1, commit=True)
                await bus.publish([*records(f"{prefix}.{name}.new", 3), *records(f"{prefix}.other", 1)])
                received = await read(subscription, 3)
            assert {record.topic for record in received} == {f"{prefix}.{name}.new"}
            assert values(received) == [0, 1, 2]

    async def test_a_topic_may_be_created_after_the_subscription(self, bus: Bus, topic: str, group: str):
        for name in (None, group):
            mine = f"{topic}-{name}"
            async with bus.subscribe(mine, group=name) as subscription:
                assert not (await subscription.receive(wait=0)).records
                await bus.publish(records(mine, 2))
                assert values(await read(subscription, 2)) == [0, 1]

    async def test_caught_up_is_said_only_when_all_has_been_read(self, bus: Bus, prefix: str, group: str):
        for name in (None, group):
            topics = [f"{prefix}.{name}.{number}" for number in range(3)]
            await bus.publish([record for topic in topics for record in records(topic, 40)])
            async with bus.subscribe(f"{prefix}.{name}.*", group=name) as subscription:
                assert len(await read_to_end(subscription)) == 120
                await bus.publish(records(topics[0], 5))
                assert len(await read_to_end(subscription)) == 5

    async def test_an_empty_bus_is_caught_up(self, bus: Bus, prefix: str, group: str):
        for name in (None, group):
            async with bus.subscribe(f"{prefix}.*", group=name) as subscription:
                assert await read_to_end(subscription) == []

    async def test_without_a_group_all_is_read_from_the_start_asked_for(self, bus: Bus, topic: str):
        await bus.publish(records(topic, 3))
        await anyio.sleep(0.05)
        between = time.time()
        await anyio.sleep(0.05)
        await bus.publish(records(topic, 3, first=3))
        async with bus.subscribe(topic, start="earliest") as subscription:
            assert values(await read_to_end(subscription)) == [0, 1, 2, 3, 4, 5]
        async with bus.subscribe(topic, start=between) as subscription:
            assert values(await read_to_end(subscription)) == [3, 4, 5]
        async with bus.subscribe(f"{topic}*", start="latest") as subscription:
            await bus.publish([*records(topic, 1, first=6), *records(f"{topic}-new", 1, first=7)])
            assert sorted(values(await read(subscription, 2))) == [6, 7]
            await subscription.commit({Partition(topic, 0): 0})

    async def test_a_group_goes_on_where_it_committed(self, another: Callable[..., Bus], topic: str, group: str):
        async with opened(another()) as bus:
            await bus.publish(records(topic, 10))
            async with bus.subscribe(topic, group=group) as subscription:
                received = await read(subscription, 8)
                await subscription.commit(after(received[:5]))
        async with opened(another()) as bus, bus.subscribe(topic, group=group) as subscription:
            assert values(await read_to_end(subscription)) == [5, 6, 7, 8, 9]

    async def test_a_group_without_a_commit_begins_at_the_start_asked_for(self, bus: Bus, topic: str, group: str):
        await bus.publish(records(topic, 3))
        async with bus.subscribe(topic, group=group, start="latest") as subscription:
            assert await read_to_end(subscription) == []
            await bus.publish(records(topic, 2, first=3))
            assert values(await read(subscription, 2, commit=True)) == [3, 4]
        async with bus.subscribe(topic, group=group, start=0.0) as subscription:
            assert await read_to_end(subscription) == []

    async def test_a_commit_never_moves_the_subscription(self, bus: Bus, topic: str, group: str):
        await bus.publish(records(topic, 6))
        async with bus.subscribe(topic, group=group) as subscription:
            first = await read(subscription, 3)
            await subscription.commit({record.source: 1 for record in first})
            assert values(await read(subscription, 3)) == [3, 4, 5]
        async with bus.subscribe(topic, group=group) as subscription:
            assert values(await read(subscription, 5)) == [1, 2, 3, 4, 5]

    async def test_groups_do_not_know_of_each_other(self, bus: Bus, topic: str, group: str):
        await bus.publish(records(topic, 4))
        async with (
            bus.subscribe(topic, group=f"{group}-a") as first,
            bus.subscribe(topic, group=f"{group}-b") as second,
        ):
            assert values(await read(first, 4, commit=True)) == [0, 1, 2, 3]
            assert values(await read(second, 4)) == [0, 1, 2, 3]
        assert sum((await bus.lag(topic, group=f"{group}-a")).values()) == 0
        assert sum((await bus.lag(topic, group=f"{group}-b")).values()) == 4

    async def test_lag_counts_what_is_not_committed(self, bus: Bus, topic: str, group: str):
        assert await bus.lag(f"{topic}*", group=group) == {}
        await bus.publish([*records(topic, 10), *records(f"{topic}-more", 5)])
        async with bus.subscribe(topic, group=group) as subscription:
            received = await read(subscription, 10)
            await subscription.commit(after(received[:4]))
        lag = await bus.lag(f"{topic}*", group=group)
        assert sum(lag.values()) == 11
        assert lag[received[0].source] == 6

    async def test_a_second_member_takes_over_when_the_first_ends(
        self, another: Callable[..., Bus], topic: str, group: str
    ):
        async with opened(another()) as one, opened(another()) as two, two.subscribe(topic, group=group) as second:
            await one.publish(records(topic, 6))
            async with one.subscribe(topic, group=group) as first:
                received = await read(first, 6)
                await first.commit(after(received[:2]))
                assert first.active
                if not self.features.splits_partitions:
                    batch = await second.receive(wait=0)
                    assert not second.active
                    assert not batch.records
                    assert not batch.caught_up
            assert values(await read(second, 4)) == [2, 3, 4, 5]
            assert second.active

    async def test_members_that_come_and_go_leave_nothing_out(
        self, another: Callable[..., Bus], topic: str, group: str
    ):
        seen: list[set[bytes]] = []

        async def member(bus: Bus, until: Callable[[Batch], bool]) -> None:
            mine: set[bytes] = set()
            seen.append(mine)
            async with bus.subscribe(topic, group=group) as subscription:
                batch = Batch()
                while not until(batch):
                    batch = await subscription.receive(max_records=10, wait=0.1)
                    mine.update(record.value for record in batch.records)
                    await subscription.commit(after(batch.records))

        def half_is_seen(_: Batch) -> bool:
            return len(set().union(*seen)) >= 100

        def all_is_seen_and_done(batch: Batch) -> bool:
            return len(set().union(*seen)) == 200 and batch.caught_up

        async with opened(another(partitions=4)) as one, opened(another()) as two:
            await one.create_topics([topic])
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as members:
                    members.start_soon(member, one, half_is_seen)
                    members.start_soon(member, two, all_is_seen_and_done)
                    for first in range(0, 200, 20):
                        await one.publish([Record(topic, b"%d" % at, b"%d" % at) for at in range(first, first + 20)])
                        await anyio.sleep(0.02)
            assert set().union(*seen) == {b"%d" % number for number in range(200)}
            assert sum((await two.lag(topic, group=group)).values()) == 0

    async def test_a_subscription_ends_with_its_block(self, another: Callable[..., Bus], topic: str, group: str):
        async with opened(another()) as bus:
            await bus.publish(records(topic, 2))
            async with bus.subscribe(topic, group=group) as first:
                received = await read(first, 2)
            with pytest.raises(ClosedError):
                await first.commit(after(received))
            with pytest.raises(ClosedError):
                await first.receive(wait=0)
            assert sum((await bus.lag(topic, group=group)).values()) == 2

    async def test_records_outlive_the_process(self, another: Callable[..., Bus], topic: str):
        if not self.features.survives_restart:
            pytest.skip("lives in one process")
        async with opened(another()) as bus:
            await bus.publish(records(topic, 2))
        async with opened(another()) as bus, bus.subscribe(topic) as subscription:
            assert values(await read_to_end(subscription)) == [0, 1]

    async def test_a_closed_bus_refuses_everything(self, another: Callable[..., Bus], topic: str):
        bus = another()
        await bus.publish(records(topic, 1))
        async with bus.subscribe(topic) as subscription:
            await bus.aclose()
            await bus.aclose()
            with pytest.raises(ClosedError):
                await subscription.receive(wait=0)
        with pytest.raises(ClosedError):
            await bus.publish(records(topic, 1))
        with pytest.raises(ClosedError):
            await bus.topics()
        with pytest.raises(ClosedError):
            await bus.create_topics([topic])
        with pytest.raises(ClosedError):
            await bus.lag(topic, group="any")


@asynccontextmanager
async def opened(bus: Bus) -> AsyncIterator[Bus]:
    try:
        yield bus
    finally:
        await bus.aclose()
