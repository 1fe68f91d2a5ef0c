"""What both kinds of Kafka subscription share: how the client reads, and the form of a record."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition, errors

from tailrace.bus import Partition, Received
from tailrace.bus.kafka.url import Brokers

CHECK_SECONDS = 1.0
"""The longest that a receive may take beyond its wait, to find out whether it is caught up."""


def reading(brokers: Brokers, **others: Any) -> dict[str, Any]:
    """The arguments of a consumer that reads records."""
    return {
        **brokers.client(),
        "enable_auto_commit": False,
        # For partitions without an offset, and those whose records retention removed before they were read.
        "auto_offset_reset": "earliest",
        # New topics are noticed when metadata is read again.
        "metadata_max_age_ms": 5_000,
        # Two of this bus's batches of 0.9 MB. In aiokafka's own 1 MiB there is one, and of the next one a part that is
        # sent for nothing: an eighth of what aggregating a backlog costs. Each partition with a backlog may hold it.
        "max_partition_fetch_bytes": 2 << 20,
        "fetch_max_bytes": 16 << 20,
        # aiokafka asks a broker one thing at a time. While it waits for news of partitions without any, it does not ask
        # for more of one with a backlog: for half a second, by its own choice.
        "fetch_max_wait_ms": 100,
        **others,
    }


def pattern_of(patterns: Collection[str]) -> str:
    """The patterns of `Bus.subscribe` as one regular expression; aiokafka matches it from a name's first letter."""
    parts = [re.escape(p[:-1]) + ".*" if p.endswith("*") else re.escape(p) for p in patterns]
    return rf"(?:{'|'.join(parts)})\Z"


def hand_over(consumer: AIOKafkaConsumer) -> None:
    """Have what the consumer has fetched so far come out of `getmany` as `Received`.

    aiokafka makes an object of eleven fields of each record, of which one of seven would be made here: a quarter of
    what reading costs. There is no public way around it, so where a name that it has today is missing, all stays as
    it was.
    """
    for fetched in getattr(getattr(consumer, "_fetcher", None), "_records", {}).values():
        records = getattr(fetched, "_partition_records", None)
        if records is not None and hasattr(records, "_consumer_record"):
            records._consumer_record = _received  # noqa: SLF001 - see above


def received(polled: Iterable[Sequence[Received | ConsumerRecord]]) -> list[Received]:
    """What `getmany` gave of each partition: all of it came after `hand_over`, or all before."""
    found: list[Received] = []
    for records in polled:
        if records and records[0].__class__ is Received:
            found += records
        else:
            found += [_received(record, record) for record in records]
    return found


def _received(at: TopicPartition | ConsumerRecord, record: Any) -> Received:
    headers = tuple(record.headers)
    for _, value in headers:
        if value is None:  # which only others write, as records without a key or a value
            headers = tuple((name, value or b"") for name, value in headers)
            break
    return Received(
        at.topic,
        at.partition,
        record.offset,
        record.key or b"",
        record.value or b"",  # no value is a deletion
        headers,
        record.timestamp / 1000,
    )


async def positions_of(consumer: AIOKafkaConsumer, partitions: Collection[Partition]) -> dict[Partition, int]:
    """The offset of the next record of each partition that the consumer still holds."""
    positions = {}
    for partition in partitions:
        try:
            positions[partition] = await consumer.position(TopicPartition(*partition))
        except errors.IllegalStateError:
            continue
    return positions
