"""How much the broker has taken, asked from outside."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tailrace.bus.topics import Topics
from tests.soak.agent import WORKFLOW


def acknowledged(settings: dict[str, Any]) -> int:
    """Records on the events topic; 0 where there is none yet."""
    topic = Topics(settings["prefix"]).events(WORKFLOW)
    servers = settings["bus"].removeprefix("kafka://").partition("?")[0]
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "none", "log_level": 0})
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        return sum(consumer.get_watermark_offsets(TopicPartition(topic, each), timeout=10)[1] for each in partitions)
    except KafkaException:
        return 0
    finally:
        consumer.close()
