"""What only Kafka's groups do: partitions are shared, and taken away."""

from __future__ import annotations

import contextlib
import sys
import time

import anyio
import pytest

from tailrace.bus import Bus, Partition, Subscription
from tailrace.bus.kafka.group import GroupSubscription
from tailrace.config import Config, ConsumeSettings, TopicSettings
from tailrace.errors import BusError
from tailrace.registry import open_bus
from tests.conformance.bus_case import PATIENCE, after, opened, read, records, values

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]


async def receive_until_active(subscription: Subscription) -> None:
    while not subscription.active:
        await subscription.receive(wait=0.1)


def open_with(url: str, **topics: int) -> Bus:
    return open_bus(Config(bus=url, topics=TopicSettings(**topics)))


async def test_partitions_taken_away_are_told_and_read_again_from_the_commit(kafka_url: str, prefix: str):
    topic, group = f"{prefix}.events.a", f"{prefix}-group"
    async with opened(open_with(kafka_url, partitions=2)) as bus:
        await bus.publish([record for key in "abcdefgh" for record in records(topic, 4, key=key)])
        async with bus.subscribe(topic, group=group) as first:
            mine = []
            while len(mine) < 32:
                mine += (await first.receive()).records
            upto = {Partition(topic, 0): 3, Partition(topic, 1): 5}
            await first.commit(upto)

            async with bus.subscribe(topic, group=group) as second:
                with anyio.fail_after(PATIENCE):
                    await receive_until_active(second)
                # Nothing is committed of what was taken away, also where it has come back by now.
                await first.commit(after(mine))
                assert sum((await bus.lag(topic, group=group)).values()) == len(mine) - sum(upto.values())

                revoked: set[Partition] = set()
                again = []
                with anyio.fail_after(PATIENCE):
                    while not (revoked and again):
                        batch = await first.receive(wait=0.1)
                        revoked |= set(batch.revoked)
                        again += batch.records
                assert revoked == set(upto)
                (kept,) = {record.source for record in again}
                assert again[0].offset == upto[kept]

                # Nor of what another member owns now.
                await first.commit(after(mine))
                lag = await bus.lag(topic, group=group)
                (lost,) = set(upto) - {kept}
                assert lag[kept] == 0
                assert lag[lost] == sum(record.source == lost for record in mine) - upto[lost]


async def test_a_member_without_a_partition_stands_by(kafka_url: str, prefix: str):
    topic, group = f"{prefix}.events.a", f"{prefix}-group"
    async with opened(open_with(kafka_url, partitions=1)) as bus:
        await bus.create_topics([topic])
        async with bus.subscribe(topic, group=group) as first, bus.subscribe(topic, group=group) as second:
            standing_by = 0
            with anyio.fail_after(PATIENCE):
                while standing_by < 10:
                    batches = [await first.receive(wait=0.1), await second.receive(wait=0.1)]
                    assert not any(batch.records for batch in batches)
                    standing_by = standing_by + 1 if first.active != second.active else 0
            assert [batch.caught_up for batch in batches] == [first.active, second.active]


MEMBER = """
import anyio, sys
from tailrace.config import Config
from tailrace.registry import open_bus

async def main(url, topic, group):
    async with open_bus(Config(bus=url)).subscribe(topic, group=group) as subscription:
        while not subscription.active:
            await subscription.receive(wait=0.1)
        print("active", flush=True)
        await anyio.sleep_forever()

anyio.run(main, *sys.argv[1:])
"""


async def kill_a_member(url: str, topic: str, group: str) -> None:
    """Start one in its own process, and kill it when it reads."""
    async with await anyio.open_process([sys.executable, "-c", MEMBER, url, topic, group]) as member:
        assert member.stdout is not None
        assert (await member.stdout.receive()).startswith(b"active")
        member.kill()


async def test_a_killed_member_is_replaced_after_its_session(kafka_url: str, prefix: str):
    topic, group = f"{prefix}.events.a", f"{prefix}-group"
    url = f"{kafka_url}?session_timeout_ms=2000"
    async with opened(open_with(url)) as bus:
        await bus.publish(records(topic, 3))
        await kill_a_member(url, topic, group)
        async with bus.subscribe(topic, group=group) as second:
            received = []
            with anyio.fail_after(PATIENCE):
                while len(received) < 3:
                    with anyio.fail_after(3):  # its wait, and the check whether it is caught up
                        received += (await second.receive(wait=0.2)).records
        assert values(received) == [0, 1, 2]


async def test_leaving_does_not_wait_for_a_dead_member(kafka_url: str, prefix: str):
    topic, group = f"{prefix}.events.a", f"{prefix}-group"
    async with opened(open_with(kafka_url)) as bus:
        await bus.create_topics([topic])
        await kill_a_member(f"{kafka_url}?session_timeout_ms=20000", topic, group)
        async with bus.subscribe(topic, group=group) as second:
            for _ in range(3):
                await second.receive(wait=0.2)
            assert not second.active
            leaving = time.monotonic()
        assert time.monotonic() - leaving < 8


async def test_a_client_that_got_stuck_is_replaced_by_a_new_one(kafka_url: str, prefix: str):
    topic, group = f"{prefix}.events.a", f"{prefix}-group"
    async with opened(open_with(f"{kafka_url}?stuck_timeout_ms=1500", partitions=1)) as bus:
        await bus.publish(records(topic, 3))
        async with bus.subscribe(topic, group=group) as subscription:
            with anyio.fail_after(PATIENCE):
                await subscription.commit(after(await read(subscription, 3)))
                stuck = subscription._consumer
                stuck.pause(*stuck.assignment())  # as after a lost fetch: it is in the group, and brings nothing
                await bus.publish(records(topic, 2, first=3))
                received, revoked = [], set()
                while len(received) < 2:
                    batch = await subscription.receive(wait=0.1)
                    received += batch.records
                    revoked |= set(batch.revoked)
        assert values(received) == [3, 4]
        assert revoked == {Partition(topic, 0)}
        assert subscription._consumer is not stuck


async def test_a_client_that_is_caught_up_or_stands_by_is_not_taken_for_stuck(kafka_url: str, prefix: str):
    topic, group = f"{prefix}.events.a", f"{prefix}-group"
    async with opened(open_with(f"{kafka_url}?stuck_timeout_ms=1500", partitions=1)) as bus:
        await bus.create_topics([topic])
        async with bus.subscribe(topic, group=group) as first, bus.subscribe(topic, group=group) as second:
            with anyio.fail_after(PATIENCE):
                while None in (first._ownership.owned, second._ownership.owned) or first.active == second.active:
                    await first.receive(wait=0.1)
                    await second.receive(wait=0.1)
            for each in (first, second):
                await each.receive(wait=0)  # tells what changed until here
            clients = [first._consumer, second._consumer]
            until = time.monotonic() + 2
            while time.monotonic() < until:
                for each in (first, second):
                    assert not (await each.receive(wait=0.1)).revoked
            assert [first._consumer, second._consumer] == clients


async def test_a_named_member_that_comes_back_in_time_gets_its_partitions_and_disturbs_nobody(
    kafka_url: str, prefix: str
):
    topic, group = f"{prefix}.events.a", f"{prefix}-group"

    def named(name: str) -> Bus:
        return open_bus(
            Config(bus=kafka_url, topics=TopicSettings(partitions=2), consume=ConsumeSettings(instance=name))
        )

    async def settle(*members: GroupSubscription) -> None:
        while not all(len(each._ownership.owned or ()) == 1 for each in members):
            for each in members:
                await each.receive(wait=0.1)

    async with opened(named("worker-0")) as one, opened(named("worker-1")) as two:
        await one.create_topics([topic])
        async with two.subscribe(topic, group=group) as second:
            with anyio.fail_after(PATIENCE):
                async with one.subscribe(topic, group=group) as first:
                    await settle(first, second)
                    before = first._ownership.owned
                    await second.receive(wait=0)
                async with one.subscribe(topic, group=group) as first:
                    while not first.active:
                        await first.receive(wait=0.1)
                        assert not (await second.receive(wait=0.1)).revoked
                    assert first._ownership.owned == before
                    assert second.active


async def test_a_member_whose_name_another_takes_joins_anew_and_loses_nothing(kafka_url: str, prefix: str):
    topic, group = f"{prefix}.events.a", f"{prefix}-group"
    settings = Config(bus=kafka_url, topics=TopicSettings(partitions=1), consume=ConsumeSettings(instance="worker-0"))
    async with opened(open_bus(settings)) as one, opened(open_bus(settings)) as two:
        await one.publish(records(topic, 3))
        async with one.subscribe(topic, group=group) as first:
            with anyio.fail_after(PATIENCE):
                await receive_until_active(first)
                async with two.subscribe(topic, group=group) as second:
                    await receive_until_active(second)
                received, revoked = [], set()
                while len(received) < 3 or not revoked:
                    with contextlib.suppress(BusError):  # aiokafka has no name for the broker's word for it
                        batch = await first.receive(wait=0.1)
                        received = [*batch.records] if batch.revoked else [*received, *batch.records]
                        revoked |= set(batch.revoked)
        assert values(received) == [0, 1, 2]
