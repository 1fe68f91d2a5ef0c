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
from collections.abc import Callable

import anyio
import anyio.to_thread
import pytest

from tailrace.bus import Bus, Partition, Received, Record
from tailrace.bus.topics import partition_of
from tailrace.errors import ClosedError
from tests.conformance import publisher
from tests.conformance.bus_case import PATIENCE, opened, read, read_to_end, records, values
from tests.conformance.bus_groups import GroupConformance


@pytest.mark.anyio
class BusConformance(GroupConformance):
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

    async def test_a_waiting_reader_finds_a_topic_created_meanwhile(self, bus: Bus, topic: str, group: str):
        for name in (None, group):
            mine = f"{topic}-{name}"
            async with bus.subscribe(mine, group=name) as subscription, anyio.create_task_group() as tasks:
                assert not (await subscription.receive(wait=0.2)).records
                tasks.start_soon(bus.publish, records(mine, 2))
                with anyio.fail_after(20):
                    batch = await subscription.receive(wait=60)
                assert values(batch.records) == [0, 1]

    async def test_a_batch_keeps_to_the_bytes_asked_for_but_is_never_empty_for_it(
        self, bus: Bus, prefix: str, group: str
    ):
        sizes = [100, 100, 250, 1, 100, 300, 40, 40]
        topics = [f"{prefix}.{number}" for number in range(3)]
        made = [Record(topic, b"run", b"x" * size) for topic in topics for size in sizes]
        await bus.publish(made)
        received: list[Received] = []
        async with bus.subscribe(f"{prefix}.*", group=group) as subscription:
            with anyio.fail_after(PATIENCE):
                while len(received) < len(made):
                    batch = (await subscription.receive(max_bytes=240)).records
                    if self.features.bounds_bytes:
                        assert len(batch) == 1 or sum(len(record.value) for record in batch) <= 240
                    received += batch
        for topic in topics:
            assert [len(record.value) for record in received if record.topic == topic] == sizes

    async def test_so_many_bytes_are_taken_as_are_asked_for(self, bus: Bus, topic: str):
        if not self.features.bounds_bytes:
            pytest.skip("the client's fetch has its own bound")
        await bus.publish(records(topic, 10))
        async with bus.subscribe(topic) as subscription:
            assert [len((await subscription.receive(max_bytes=each)).records) for each in (4, 1, 100)] == [4, 1, 5]

    async def test_caught_up_is_said_only_when_all_has_been_read(self, bus: Bus, prefix: str, group: str):
        for name in (None, group):
            topics = [f"{prefix}.{name}.{number}" for number in range(3)]
            await bus.publish([record for topic in topics for record in records(topic, 40)])
            async with bus.subscribe(f"{prefix}.{name}.*", group=name) as subscription:
                assert len(await read_to_end(subscription, wait=0)) == 120
                await bus.publish(records(topics[0], 5))
                assert len(await read_to_end(subscription, wait=0)) == 5

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
