"""Publishing to Kafka: whole batches, each partition in order, all partitions at once.

aiokafka's idempotent producer is not used: it hangs while brokers are away, and one rejected batch poisons it for ever.
So a batch may be written twice when its acknowledgement is lost, which events are made for: they carry their own ids.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import anyio
from aiokafka import AIOKafkaProducer, errors
from aiokafka.producer.message_accumulator import BatchBuilder
from anyio.abc import TaskGroup

from tailrace.bus import Record
from tailrace.bus.bundle import Bundled, by_partition, by_topic
from tailrace.bus.kafka.batch import Place, even, packed
from tailrace.bus.kafka.clients import start, stop_producer
from tailrace.bus.kafka.cluster import Cluster
from tailrace.bus.kafka.errors import bus_error
from tailrace.bus.kafka.url import Brokers
from tailrace.errors import BusError, ClosedError

_BATCH_BYTES = 900_000
"""Of one batch, if so much is published at once. Brokers take up to 1,048,588 bytes (`message.max.bytes`)."""

_TURNS_TO_SEND = 6
"""Of the event loop, until aiokafka's own tasks have sent a batch that they were given. Making the next one meanwhile
would only keep them from it."""

_TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)
_BROKEN = (errors.KafkaConnectionError, errors.NodeNotReadyError, errors.ProducerClosed, TimeoutError)
"""After these the producer is made anew: brokers may have come back elsewhere."""


class Publisher:
    """One aiokafka producer, made on first use and again after it broke."""

    def __init__(self, brokers: Brokers, cluster: Cluster) -> None:
        self._brokers = brokers
        self._cluster = cluster
        self._producer: AIOKafkaProducer | None = None
        self._connecting = anyio.Lock()
        self._existing: set[str] = set()
        """Topics known to exist."""
        self._closed = False

    async def publish(self, records: Sequence[Record]) -> None:
        topics = by_topic(records)
        if missing := topics.keys() - self._existing:
            await self._cluster.create(missing)
            self._existing |= missing
        producer = await self._connected()
        failures: list[BusError] = []
        async with anyio.create_task_group() as lanes:
            for topic, mine in topics.items():
                lanes.start_soon(self._publish_topic, producer, lanes, topic, mine, failures)
        if failures:
            raise min(failures, key=lambda failure: failure.retryable)

    async def aclose(self) -> None:
        self._closed = True
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_producer(producer)

    async def _publish_topic(
        self, producer: AIOKafkaProducer, lanes: TaskGroup, topic: str, records: Bundled, failures: list[BusError]
    ) -> None:
        try:
            count = len(await producer.partitions_for(topic))
        except errors.KafkaError as error:
            failures.append(await self._failed(producer, topic, error))
            return
        for partition, mine in by_partition(records, count).items():
            lanes.start_soon(self._publish_partition, producer, topic, partition, mine, failures)

    async def _publish_partition(
        self, producer: AIOKafkaProducer, topic: str, partition: int, records: Bundled, failures: list[BusError]
    ) -> None:
        try:
            await self._send(producer, topic, partition, records)
        except (errors.KafkaError, TimeoutError) as error:
            failures.append(await self._failed(producer, topic, error))

    async def _send(self, producer: AIOKafkaProducer, topic: str, partition: int, records: Bundled) -> None:
        """One batch after the other: a batch that waited behind a failed one would overtake it when it comes again.

        While one is under way the next is made.
        """
        sent, place, limit = 0, (0, 0), even(records.bundles, _BATCH_BYTES)
        following: BatchBuilder | None = None
        while sent < len(records):
            if following is None:
                following, place = self._batch(producer, records, sent, place, limit)
            batch, following = following, None
            size = batch.record_count()
            after = sent + size
            try:
                # Requests are retried within; a batch expires after one timeout, but is asked only between requests.
                with anyio.fail_after(3 * self._brokers.request_timeout):
                    under_way = await producer.send_batch(batch, topic, partition=partition)
                    if after < len(records):
                        for _ in range(_TURNS_TO_SEND):
                            await asyncio.sleep(0)
                        following, place = self._batch(producer, records, after, place, limit)
                    await under_way
            except _TOO_LARGE:
                if size == 1:
                    raise
                # Brokers limit the batch, not the record: one that takes little may still take these in halves.
                middle = sent + size // 2
                await self._send(producer, topic, partition, records[sent:middle])
                await self._send(producer, topic, partition, records[middle:after])
            sent = after

    def _batch(
        self, producer: AIOKafkaProducer, records: Bundled, start: int, place: Place, limit: int
    ) -> tuple[BatchBuilder, Place]:
        """A batch of as many records as fit, from the one at `start` on, which stands at `place`; what follows."""
        now = int(time.time() * 1000)
        if self._brokers.compression is None:
            return packed(records.bundles, place, limit, now)
        batch = producer.create_batch()
        for record in records[start:]:
            if batch.append(key=record.key, value=record.value, timestamp=now, headers=list(record.headers)) is None:
                break
        batch.close()
        return batch, place

    async def _failed(self, producer: AIOKafkaProducer, topic: str, error: Exception) -> BusError:
        self._existing.discard(topic)  # it may have been deleted
        broken = isinstance(error, _BROKEN) or producer._sender.sender_task.done()  # noqa: SLF001
        if broken and self._producer is producer:
            self._producer = None
            await stop_producer(producer)
        return bus_error(self._brokers, f"publishing to {topic}", error)

    async def _connected(self) -> AIOKafkaProducer:
        async with self._connecting:
            if self._closed:
                raise ClosedError(f"the bus {self._brokers} was closed")
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._brokers.client(),
                    acks="all",
                    enable_idempotence=False,
                    max_batch_size=_BATCH_BYTES,
                    compression_type=self._brokers.compression,
                )
                try:
                    await start(self._brokers, producer)
                except BaseException:
                    await stop_producer(producer)
                    raise
                self._producer = producer
            return self._producer
