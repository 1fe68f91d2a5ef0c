"""The bus on Apache Kafka, with aiokafka: `kafka://host:port[,host:port][?option=value]`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tailrace.bus import Partition, Record, Start, TopicInfo
from tailrace.bus.kafka.cluster import Cluster
from tailrace.bus.kafka.group import GroupSubscription
from tailrace.bus.kafka.publish import Publisher
from tailrace.bus.kafka.reader import Reader
from tailrace.bus.kafka.url import Brokers
from tailrace.config import Config, TopicSettings
from tailrace.errors import ClosedError

if TYPE_CHECKING:
    from tailrace.bus import Bus

# While brokers are away aiokafka logs some fifty lines a second, which Python writes to stderr in a program without
# logging of its own. What matters of them reaches the caller as a BusError.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())


def open_bus(config: Config) -> KafkaBus:
    return KafkaBus(Brokers(config.bus_url), config.topics, instance=config.consume.instance)


class KafkaBus:
    """See `tailrace.bus.Bus`.

    A member of a group that dies without a word is replaced after the option `session_timeout_ms`, 30 s; so is one
    that leaves, if it has an `instance`. `subscribe` itself connects only where `start` is not "earliest".
    """

    def __init__(self, brokers: Brokers, settings: TopicSettings, *, instance: str | None = None) -> None:
        """`instance`: the static name of this bus's members in their groups; no two of one group may share it."""
        self._instance = instance
        self._brokers = brokers
        self._cluster = Cluster(brokers, settings)
        self._publisher = Publisher(brokers, self._cluster)
        self._subscriptions: set[GroupSubscription | Reader] = set()
        self._closed = False

    async def publish(self, records: Sequence[Record]) -> None:
        self._check_open()
        if records:
            await self._publisher.publish(records)

    @asynccontextmanager
    async def subscribe(
        self, *topics: str, group: str | None = None, start: Start = "earliest"
    ) -> AsyncIterator[GroupSubscription | Reader]:
        self._check_open()
        starting = await self._cluster.starting_at(start, topics)
        subscription: GroupSubscription | Reader
        if group is None:
            subscription = Reader(self._brokers, self._cluster, topics, starting)
        else:
            if starting:
                await self._cluster.commit_first(group, starting)
            subscription = GroupSubscription(self._brokers, self._cluster, topics, group, self._instance)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            await subscription.aclose()

    async def create_topics(self, names: Collection[str]) -> None:
        self._check_open()
        await self._cluster.create(names)

    async def topics(self, prefix: str = "") -> list[TopicInfo]:
        self._check_open()
        return await self._cluster.topics(prefix)

    async def lag(self, *topics: str, group: str) -> dict[Partition, int]:
        self._check_open()
        return await self._cluster.lag(topics, group)

    async def aclose(self) -> None:
        self._closed = True
        for subscription in self._subscriptions:
            await subscription.aclose()
        await self._publisher.aclose()
        await self._cluster.aclose()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the bus {self._brokers} was closed")


if TYPE_CHECKING:
    _bus: type[Bus] = KafkaBus
