"""Names of topics, and the partition of a key."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

_SLUG = re.compile(r"[a-z0-9-]{1,80}")
OVERFLOW_TOPICS = 16


def slug(workflow: str) -> str:
    """The workflow's part of a topic name: itself if it is `[a-z0-9-]{1,80}`, else cleaned plus 8 hex of its hash.

    Two names share a slug only if one is, letter for letter, the hashed form of the other, or by a collision of the
    32-bit hash. Even then no run is mixed: events carry the workflow's name, and documents are built per run.
    """
    if _SLUG.fullmatch(workflow):
        return workflow
    digest = hashlib.blake2b(workflow.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    cleaned = re.sub(r"[^a-z0-9]+", "-", workflow.lower()).strip("-")[:71]
    return f"{cleaned}-{digest}" if cleaned else digest


class Topics:
    """The topic names of one prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.documents = f"{prefix}.documents"
        self.dead = f"{prefix}.dead"
        self.all_events = f"{prefix}.events.*"
        self.all_sampled = f"{prefix}.sampled.*"

    def events(self, workflow: str) -> str:
        return f"{self.prefix}.events.{slug(workflow)}"

    def sampled_of(self, events_topic: str) -> str:
        """Where the sampler puts what it keeps of an events topic."""
        return f"{self.prefix}.sampled.{events_topic.removeprefix(f'{self.prefix}.events.')}"

    def overflow(self, workflow: str) -> str:
        """The shared topic of a workflow name beyond `topics.max_topics`."""
        number = int(hashlib.blake2b(workflow.encode("utf-8", "surrogatepass"), digest_size=2).hexdigest(), 16)
        return f"{self.prefix}.events.overflow-{number % OVERFLOW_TOPICS}"

    def group(self, stage: str) -> str:
        """The consumer group of a stage."""
        return f"{self.prefix}-{stage}"


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key, as Kafka's own default partitioner (murmur2) chooses it.

    Cached, because pure-Python murmur2 costs about 4 us for a run id and a run has many events.
    """
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """32-bit MurmurHash2 with Kafka's seed (org.apache.kafka.common.utils.Utils.murmur2)."""
    mask = 0xFFFFFFFF
    multiplier = 0x5BD1E995
    hashed = (0x9747B28C ^ len(data)) & mask
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * multiplier & mask
        word = (word ^ (word >> 24)) * multiplier & mask
        hashed = (hashed * multiplier & mask) ^ word
    tail = data[whole:]
    if tail:
        hashed = (hashed ^ int.from_bytes(tail, "little")) * multiplier & mask
    hashed = (hashed ^ (hashed >> 13)) * multiplier & mask
    return hashed ^ (hashed >> 15)
