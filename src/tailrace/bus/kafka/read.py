"""What both kinds of Kafka subscription share: how the client reads, and the form of a record."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition, errors

from tailrace.bus import Headers, Partition, Received
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
        "max_partition_fetch_bytes": 1 << 20,
        "fetch_max_bytes": 16 << 20,
        **others,
    }


def pattern_of(patterns: Collection[str]) -> str:
    """The patterns of `Bus.subscribe` as one regular expression; aiokafka matches it from a name's first letter."""
    parts = [re.escape(p[:-1]) + ".*" if p.endswith("*") else re.escape(p) for p in patterns]
    return rf"(?:{'|'.join(parts)})\Z"


def received(polled: Iterable[list[ConsumerRecord]]) -> list[Received]:
    return [
        Received(
            record.topic,
            record.partition,
            record.offset,
            record.key or b"",
            record.value or b"",  # no value is a deletion, which only others write
            _complete(record.headers),
            record.timestamp / 1000,
        )
        for records in polled
        for record in records
    ]


def _complete(headers: tuple[tuple[str, bytes | None], ...]) -> Headers:
    """Headers without a value, which only others write, get an empty one."""
    for _, value in headers:
        if value is None:
            return tuple((name, value or b"") for name, value in headers)
    return cast("Headers", headers)


async def positions_of(consumer: AIOKafkaConsumer, partitions: Collection[Partition]) -> dict[Partition, int]:
    """The offset of the next record of each partition that the consumer still holds."""
    positions = {}
    for partition in partitions:
        try:
            positions[partition] = await consumer.position(TopicPartition(*partition))
        except errors.IllegalStateError:
            continue
    return positions
