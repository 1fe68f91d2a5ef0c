"""Reading Kafka without a group: every partition, from the start asked for."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import anyio
from aiokafka import AIOKafkaConsumer, TopicPartition

from tailrace.bus import UNBOUNDED, Batch, Partition
from tailrace.bus.kafka.clients import start, stop_consumer
from tailrace.bus.kafka.cluster import Cluster
from tailrace.bus.kafka.errors import bus_errors
from tailrace.bus.kafka.read import CHECK_SECONDS, hand_over, positions_of, reading, received
from tailrace.bus.kafka.url import Brokers
from tailrace.errors import BusError, ClosedError

if TYPE_CHECKING:
    from tailrace.bus import Subscription

_LOOK_EVERY = 2.0
"""Seconds between looks for new topics: by hand, for aiokafka would begin anew with all of them at each new one."""


class Reader:
    """See `tailrace.bus.Subscription`."""

    def __init__(
        self, brokers: Brokers, cluster: Cluster, patterns: Collection[str], starting: Mapping[Partition, int]
    ) -> None:
        self._brokers = brokers
        self._cluster = cluster
        self._patterns = patterns
        self._positions = dict(starting)
        """Next offset by partition; a partition not in it is read from its first record."""
        self._assigned: set[Partition] = set()
        self._look_at = 0.0
        """When to look for topics again, by the monotonic clock."""
        self._consumer: AIOKafkaConsumer | None = None
        self._closed = False

    @property
    def active(self) -> bool:
        return True

    async def receive(self, *, max_records: int = 500, max_bytes: int = UNBOUNDED, wait: float = 1.0) -> Batch:  # noqa: ARG002
        deadline = time.monotonic() + wait
        while True:
            consumer = await self._connected()
            if time.monotonic() >= self._look_at:
                await self._look(consumer)
            left = max(0.0, deadline - time.monotonic())
            polled = await self._poll(consumer, max_records, min(left, _LOOK_EVERY))
            if polled:
                for at, records in polled.items():
                    self._positions[Partition(at.topic, at.partition)] = records[-1].offset + 1
                return Batch(received(polled.values()))
            if left <= _LOOK_EVERY:
                return Batch(caught_up=await self._is_caught_up(consumer))

    async def commit(self, upto: Mapping[Partition, int]) -> None:
        """Does nothing: there is no group to remember it for."""

    async def aclose(self) -> None:
        self._closed = True
        await self._disconnect()

    async def _poll(self, consumer: AIOKafkaConsumer, limit: int, wait: float) -> dict[TopicPartition, list[Any]]:
        polled: dict[TopicPartition, list[Any]] = {}
        try:
            # getmany does not keep its own timeout while nothing is assigned.
            with bus_errors(self._brokers, "reading"), anyio.move_on_after(wait):
                hand_over(consumer)
                polled = await consumer.getmany(timeout_ms=round(wait * 1000), max_records=limit)
        except BusError:
            await self._disconnect()
            raise
        return polled

    async def _connected(self) -> AIOKafkaConsumer:
        if self._closed:
            raise ClosedError("the subscription was closed")
        if self._consumer is None:
            consumer = AIOKafkaConsumer(**reading(self._brokers))
            try:
                await start(self._brokers, consumer)
            except BaseException:
                await stop_consumer(consumer)
                raise
            self._consumer = consumer
        return self._consumer

    async def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._assigned, self._look_at = set(), 0.0
        if consumer is not None:
            await stop_consumer(consumer)

    async def _look(self, consumer: AIOKafkaConsumer) -> None:
        """Read the partitions that there are now, the known ones from where they are."""
        there = await self._cluster.partitions(self._patterns)
        self._look_at = time.monotonic() + _LOOK_EVERY
        if there == self._assigned:
            return
        consumer.assign([TopicPartition(*partition) for partition in there])
        self._assigned = there
        for partition in there & self._positions.keys():
            consumer.seek(TopicPartition(*partition), self._positions[partition])

    async def _is_caught_up(self, consumer: AIOKafkaConsumer) -> bool:
        """Asks the brokers: what the consumer knows is as old as its last fetch."""
        with anyio.move_on_after(CHECK_SECONDS):
            if await self._cluster.partitions(self._patterns) != self._assigned:
                self._look_at = 0.0
                return False
            ends = await self._cluster.ends(self._assigned)
            positions = await positions_of(consumer, self._assigned)
            return all(positions.get(at, -1) >= end for at, end in ends.items())
        return False


if TYPE_CHECKING:
    _subscription: type[Subscription] = Reader
