"""The contract of consumer groups as tests; `BusConformance` includes them."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.to_thread
import pytest

from tailrace.bus import Batch, Bus, Received, Record, Subscription
from tailrace.errors import ClosedError
from tests.conformance.bus_case import PATIENCE, BusCase, after, opened, read, read_to_end, records, values


@pytest.mark.anyio
class GroupConformance(BusCase):
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

    async def test_a_waiting_member_need_not_ask_again_to_take_over(
        self, another: Callable[..., Bus], topic: str, group: str
    ):
        taken: list[Received] = []

        async def take(subscription: Subscription) -> None:
            taken.extend((await subscription.receive(wait=60)).records)

        async with opened(another()) as one, opened(another()) as two, two.subscribe(topic, group=group) as second:
            await one.publish(records(topic, 3))
            with anyio.fail_after(20):
                async with anyio.create_task_group() as tasks, one.subscribe(topic, group=group) as first:
                    await read(first, 3)
                    tasks.start_soon(take, second)
                    await first.receive(wait=0.1)
        assert values(taken) == [0, 1, 2]

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
