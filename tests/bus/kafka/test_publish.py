"""What only Kafka can refuse, and what happens while it is away."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import TypeVar

import anyio
import anyio.to_thread
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from tailrace.bus import Record
from tailrace.config import Config
from tailrace.errors import BusError
from tailrace.registry import open_bus
from tests.conformance.bus_case import opened, read, records, values
from tests.servers import Server
from tests.servers.remote import Remote

T = TypeVar("T")

pytestmark = pytest.mark.anyio


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def again(call: Callable[[], Awaitable[T]]) -> T:
    """The first result of the call: until then only errors that say that it may come later."""
    while True:
        try:
            return await call()
        except BusError as error:
            if not error.retryable:
                raise


async def test_brokers_that_are_away_are_named_and_asked_again(closed_port: int):
    async with (
        opened(open_bus(Config(bus=f"kafka://127.0.0.1:{closed_port}"))) as bus,
        bus.subscribe("a.*") as reader,
        bus.subscribe("a.*", group="g") as member,
    ):
        for call in (
            partial(bus.publish, records("a.topic", 1)),
            partial(bus.create_topics, ["a.topic"]),
            bus.topics,
            partial(bus.lag, "a.*", group="g"),
            partial(reader.receive, wait=0),
            partial(member.receive, wait=0),
        ):
            with anyio.fail_after(5), pytest.raises(BusError, match=f"127.0.0.1:{closed_port}") as raised:
                await call()
            assert raised.value.retryable


async def test_a_broker_that_never_answers_is_given_up(silent_port: int):
    bus = open_bus(Config(bus=f"kafka://127.0.0.1:{silent_port}?request_timeout_ms=300"))
    with anyio.fail_after(5), pytest.raises(BusError) as raised:
        await bus.publish(records("a.topic", 1))
    assert raised.value.retryable
    with anyio.fail_after(5):
        await bus.aclose()


@pytest.mark.kafka
async def test_a_record_too_large_is_refused_for_good(kafka_url: str, prefix: str):
    topic = f"{prefix}.events.a"
    async with opened(open_bus(Config(bus=kafka_url))) as bus:
        with pytest.raises(BusError) as raised:
            await bus.publish([Record(topic, b"run", b"x" * 1_100_000)])
        assert not raised.value.retryable
        await bus.publish(records(topic, 2))
        async with bus.subscribe(topic) as subscription:
            assert values(await read(subscription, 2)) == [0, 1]


@pytest.mark.kafka
async def test_the_largest_event_is_taken(kafka_url: str, prefix: str):
    topic = f"{prefix}.events.a"
    async with opened(open_bus(Config(bus=kafka_url))) as bus:
        await bus.publish(
            [*records(topic, 3), Record(topic, b"run", b"3" + b" " * 900_000), *records(topic, 3, first=4)]
        )
        async with bus.subscribe(topic) as subscription:
            assert values(await read(subscription, 7)) == list(range(7))


@pytest.mark.kafka
async def test_a_batch_too_large_for_the_topic_is_sent_in_parts(kafka: Server | Remote, prefix: str):
    topic = f"{prefix}.events.small"
    admin = AdminClient({"bootstrap.servers": kafka.address})
    new = NewTopic(topic, num_partitions=1, replication_factor=1, config={"max.message.bytes": "2000"})
    await anyio.to_thread.run_sync(admin.create_topics([new])[topic].result)
    async with opened(open_bus(Config(bus=kafka.url))) as bus:
        await bus.publish([Record(topic, b"run", b"%d" % at + b" " * 500) for at in range(30)])
        async with bus.subscribe(topic) as subscription:
            assert values(await read(subscription, 30)) == list(range(30))


@pytest.mark.kafka
async def test_a_topic_name_that_kafka_does_not_take_is_refused_for_good(kafka_url: str):
    async with opened(open_bus(Config(bus=kafka_url))) as bus:
        with pytest.raises(BusError, match="not a topic!") as raised:
            await bus.publish(records("not a topic!", 1))
        assert not raised.value.retryable


@pytest.mark.kafka
async def test_a_deleted_topic_is_created_again(kafka: Server | Remote, prefix: str):
    topic = f"{prefix}.events.a"
    admin = AdminClient({"bootstrap.servers": kafka.address})
    async with opened(open_bus(Config(bus=f"{kafka.url}?request_timeout_ms=1000"))) as bus:
        await bus.publish(records(topic, 1))
        await anyio.to_thread.run_sync(admin.delete_topics([topic])[topic].result)
        with anyio.fail_after(30):
            while await again(partial(bus.topics, prefix)):
                await anyio.sleep(0.05)
            async with bus.subscribe(topic) as subscription:
                # Until the brokers have deleted it, it may still take records, and those are deleted with it.
                while not (await subscription.receive(wait=0.5)).records:
                    await again(partial(bus.publish, records(topic, 1, first=1)))
        assert [info.name for info in await bus.topics(prefix)] == [topic]


@pytest.mark.kafka
async def test_compressed_records_come_back(kafka_url: str, prefix: str):
    topic = f"{prefix}.events.a"
    async with opened(open_bus(Config(bus=f"{kafka_url}?compression=gzip"))) as bus:
        await bus.publish(records(topic, 500))
        async with bus.subscribe(topic) as subscription:
            assert values(await read(subscription, 500)) == list(range(500))


@pytest.mark.kafka
async def test_publishing_and_reading_go_on_after_the_broker_died(kafka: Server | Remote, prefix: str):
    topic, group = f"{prefix}.events.a", f"{prefix}-group"
    async with opened(open_bus(Config(bus=f"{kafka.url}?request_timeout_ms=1000&session_timeout_ms=3000"))) as bus:
        await bus.publish(records(topic, 5))
        async with bus.subscribe(topic) as reader, bus.subscribe(topic, group=group) as member:
            assert values(await read(reader, 5)) == list(range(5))
            assert values(await read(member, 5, commit=True)) == list(range(5))
            with kafka.killed(), anyio.fail_after(10), pytest.raises(BusError) as raised:
                await bus.publish(records(topic, 5, first=5))
            assert raised.value.retryable
            await bus.publish(records(topic, 5, first=5))
            for subscription in (reader, member):
                received = []
                with anyio.fail_after(30):
                    while len(received) < 5:
                        received += (await again(partial(subscription.receive, wait=0.5))).records
                assert values(received) == list(range(5, 10))
