"""What the brokers know: topics, their offsets, and what groups have committed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio
from aiokafka import AIOKafkaConsumer, TopicPartition, errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tailrace.bus import Partition, Start, TopicInfo, matches
from tailrace.bus.kafka.clients import start, stop_consumer
from tailrace.bus.kafka.errors import bus_error, bus_errors
from tailrace.bus.kafka.url import Brokers
from tailrace.config import TopicSettings
from tailrace.errors import ClosedError

_DEFAULT_PARTITIONS = 6
_BROKER_DEFAULT = -1
_RETRY_SECONDS = 0.05

_GROUPS_NOT_READY = (
    errors.GroupCoordinatorNotAvailableError,
    errors.GroupLoadInProgressError,
    errors.NotCoordinatorForGroupError,
)


class _Clients(NamedTuple):
    admin: AIOKafkaAdminClient
    offsets: AIOKafkaConsumer
    """Reads no records: requests on a reading consumer's connection would wait behind its long polls."""


class Cluster:
    """Connects on first use, and anew after an error."""

    def __init__(self, brokers: Brokers, settings: TopicSettings) -> None:
        self._brokers = brokers
        self._settings = settings
        self._clients: _Clients | None = None
        self._connecting = anyio.Lock()
        self._closed = False

    async def create(self, names: Collection[str]) -> None:
        """Create those topics that do not exist, and wait until the brokers tell of them."""
        async with self._using("creating topics") as clients:
            missing = set(names).difference(await clients.admin.list_topics())
            if not missing:
                return
            answer = await clients.admin.create_topics([self._new_topic(name) for name in sorted(missing)])
            for name, code, reason in answer.topic_errors:
                error = errors.for_code(code)
                if error not in (errors.NoError, errors.TopicAlreadyExistsError):
                    raise bus_error(self._brokers, f"creating topic {name}", error(reason or ""))
            with anyio.fail_after(self._brokers.request_timeout):
                while True:
                    if missing.issubset(await clients.admin.list_topics()):
                        return
                    await anyio.sleep(_RETRY_SECONDS)

    async def partitions(self, patterns: Collection[str]) -> set[Partition]:
        """The partitions of all topics that fit the patterns. Never makes the brokers create one."""
        async with self._using("listing topics") as clients:
            topics = await clients.admin.describe_topics()
        return {
            Partition(topic["topic"], partition["partition"])
            for topic in topics
            if matches(topic["topic"], patterns) and not topic["is_internal"]
            for partition in topic["partitions"]
        }

    async def begins(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """The offset of the first record that each partition holds."""
        async with self._using("reading offsets") as clients:
            return _by_partition(await clients.offsets.beginning_offsets(_topic_partitions(partitions)))

    async def ends(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """The offset that the next record of each partition will have."""
        async with self._using("reading offsets") as clients:
            return _by_partition(await clients.offsets.end_offsets(_topic_partitions(partitions)))

    async def starting_at(self, start: Start, patterns: Collection[str]) -> dict[Partition, int]:
        """The first offset to read, of those partitions that are not read from their first record."""
        if start == "earliest":
            return {}
        partitions = await self.partitions(patterns)
        ends = await self.ends(partitions)
        if start == "latest" or not ends:
            return ends
        async with self._using("reading offsets") as clients:
            times = dict.fromkeys(_topic_partitions(partitions), max(0, round(start * 1000)))
            found = await clients.offsets.offsets_for_times(times)
        return {
            partition: at.offset if (at := found[TopicPartition(*partition)]) is not None else end
            for partition, end in ends.items()
        }

    async def committed(self, group: str) -> dict[Partition, int]:
        """The next offset to read of every partition that the group has committed."""
        async with self._using(f"reading the offsets of group {group}") as clients:
            with anyio.fail_after(self._brokers.request_timeout):
                while True:
                    # The first use of any group makes the brokers create the topic of offsets.
                    with contextlib.suppress(*_GROUPS_NOT_READY):
                        found = await clients.admin.list_consumer_group_offsets(group)
                        return _by_partition({at: committed.offset for at, committed in found.items()})
                    await anyio.sleep(_RETRY_SECONDS)

    async def commit_first(self, group: str, starting: Mapping[Partition, int]) -> None:
        """Commit these offsets where the group has none, unless it has members, who have begun already."""
        committed = await self.committed(group)
        fresh = {TopicPartition(*at): offset for at, offset in starting.items() if at not in committed}
        if not fresh:
            return
        consumer = AIOKafkaConsumer(**self._brokers.client(), group_id=group, enable_auto_commit=False)
        try:
            await start(self._brokers, consumer)
            with (
                bus_errors(self._brokers, f"committing for group {group}"),
                anyio.fail_after(self._brokers.request_timeout),
                contextlib.suppress(errors.CommitFailedError),
            ):
                consumer.assign(list(fresh))
                await consumer.commit(fresh)
        finally:
            await stop_consumer(consumer)

    async def topics(self, prefix: str) -> list[TopicInfo]:
        partitions = await self.partitions([f"{prefix}*"])
        begins, ends = await self.begins(partitions), await self.ends(partitions)
        held: dict[str, list[int]] = {}
        for partition in partitions:
            held.setdefault(partition.topic, []).append(ends[partition] - begins[partition])
        return [TopicInfo(name, len(counts), sum(counts)) for name, counts in sorted(held.items())]

    async def lag(self, patterns: Collection[str], group: str) -> dict[Partition, int]:
        committed = await self.committed(group)  # first: topics that may not be read are as if they were not there
        partitions = await self.partitions(patterns)
        begins, ends = await self.begins(partitions), await self.ends(partitions)
        return {at: ends[at] - max(begins[at], committed.get(at, 0)) for at in partitions}

    async def aclose(self) -> None:
        self._closed = True
        clients, self._clients = self._clients, None
        if clients is not None:
            await _close(clients)

    def _new_topic(self, name: str) -> NewTopic:
        topic = NewTopic(
            name,
            num_partitions=self._settings.partitions or _DEFAULT_PARTITIONS,
            replication_factor=1,
            topic_configs={
                "retention.ms": str(round(self._settings.retention_hours * 3_600_000)),
                # The clocks of agents lie; retention and reading from a time need one that does not.
                "message.timestamp.type": "LogAppendTime",
            },
        )
        # Not above, where aiokafka refuses what Kafka takes.
        topic.replication_factor = self._settings.replication or _BROKER_DEFAULT
        return topic

    @asynccontextmanager
    async def _using(self, doing: str) -> AsyncIterator[_Clients]:
        """The clients; after an error in the block they are closed, and the next use connects anew."""
        with bus_errors(self._brokers, doing):
            clients = await self._connected()
            try:
                yield clients
            except (errors.KafkaError, TimeoutError):
                if self._clients is clients:
                    self._clients = None
                    await _close(clients)
                raise

    async def _connected(self) -> _Clients:
        async with self._connecting:
            if self._closed:
                raise ClosedError(f"the bus {self._brokers} was closed")
            if self._clients is None:
                clients = _Clients(
                    AIOKafkaAdminClient(**self._brokers.client()), AIOKafkaConsumer(**self._brokers.client())
                )
                try:
                    await start(self._brokers, clients.admin)
                    await start(self._brokers, clients.offsets)
                except BaseException:
                    await _close(clients)
                    raise
                self._clients = clients
            return self._clients


async def _close(clients: _Clients) -> None:
    await stop_consumer(clients.offsets)
    with anyio.CancelScope(shield=True):
        await clients.admin.close()


def _topic_partitions(partitions: Collection[Partition]) -> list[TopicPartition]:
    return [TopicPartition(*partition) for partition in partitions]


def _by_partition(offsets: Mapping[TopicPartition, int]) -> dict[Partition, int]:
    return {Partition(at.topic, at.partition): offset for at, offset in offsets.items()}
