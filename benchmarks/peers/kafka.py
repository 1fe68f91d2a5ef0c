"""Kafka clients used as a logger: the caller encodes the event and hands it to the client. One topic, one partition."""

from __future__ import annotations

import itertools
import time
import uuid
from datetime import UTC, datetime
from typing import Any, ClassVar

import msgspec

from benchmarks.payloads import AGENT, ITERATION, LEVEL, MASK, RUN, WORKFLOW, PlainEvent
from benchmarks.peers import Peer

_KEY = RUN.encode()
_LINGER_MS = 5


class _KafkaClient(Peer):
    sink = "Kafka"
    needs_kafka = True

    async def open(self) -> None:
        self._topic = f"bench-{uuid.uuid4().hex}"
        self._encode = msgspec.msgpack.Encoder().encode
        self._next = itertools.count().__next__

    def _value(self, i: int) -> bytes:
        name, given, found = self.pool[i & MASK]
        return self._encode(
            PlainEvent(RUN, WORKFLOW, AGENT, ITERATION, self._next(), name, time.time_ns(), LEVEL, given, found)
        )


class SameEvent(msgspec.Struct, gc=False):
    """All that tailrace keeps of the action, under the same names."""

    pid: str
    run: str
    workflow: str
    iteration: str
    interaction: str
    agent: str
    id: str
    seq: int
    type: str
    ts: datetime
    n: int
    data: dict[str, Any]


class Aiokafka(_KafkaClient):
    """await AIOKafkaProducer.send on the agents' own loop; acks=all, 256 KiB batches."""

    name = "aiokafka"
    packages = ("aiokafka",)
    is_async = True

    async def open(self) -> None:
        from aiokafka import AIOKafkaProducer
        from aiokafka.admin import AIOKafkaAdminClient, NewTopic

        await super().open()
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        await admin.create_topics([NewTopic(self._topic, 1, 1)])
        await admin.close()
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self.kafka, acks="all", linger_ms=_LINGER_MS, max_batch_size=256 << 10
        )
        await self._producer.start()

    async def call(self, i: int) -> None:
        await self._producer.send(self._topic, self._value(i), key=_KEY)

    async def flush(self) -> None:
        await self._producer.flush()

    async def close(self) -> None:
        await self._producer.stop()


class ConfluentKafka(_KafkaClient):
    """Producer.produce with a delivery callback, then poll(0); acks=all; librdkafka's own threads send."""

    name = "confluent_kafka"
    packages = ("confluent-kafka",)
    modes: ClassVar[frozenset[str]] = frozenset({"call", "loop", "sustained"})

    async def open(self) -> None:
        from confluent_kafka import Producer
        from confluent_kafka.admin import AdminClient, NewTopic

        await super().open()
        admin = AdminClient({"bootstrap.servers": self.kafka})
        for created in admin.create_topics([NewTopic(self._topic, 1, 1)]).values():
            created.result(10)
        self._delivered = 0
        self._producer = Producer(
            {
                "bootstrap.servers": self.kafka,
                "acks": "all",
                "linger.ms": _LINGER_MS,
                "queue.buffering.max.messages": 1_000_000,
                "queue.buffering.max.kbytes": 1 << 20,
            }
        )

    def call(self, i: int) -> None:
        self._producer.produce(self._topic, self._value(i), _KEY, on_delivery=self._on_delivery)
        self._producer.poll(0)

    def _on_delivery(self, error: Any, _record: Any) -> None:
        if error is None:
            self._delivered += 1

    async def flush(self) -> None:
        self._producer.flush(60)

    def delivered(self) -> int:
        return self._delivered


class ConfluentKafkaSame(ConfluentKafka):
    """The same, given the record that tailrace makes: JSON with all ids, the run as key, three headers."""

    name = "confluent_kafka_same"
    modes: ClassVar[frozenset[str]] = frozenset({"sustained"})

    async def open(self) -> None:
        await super().open()
        self.prepare()

    def prepare(self) -> None:
        self._encode = msgspec.json.Encoder().encode
        self._run, self._pid = uuid.uuid4().hex, uuid.uuid4().hex[:24]
        self._iteration, self._interaction = uuid.uuid4().hex[:16], uuid.uuid4().hex[:16]
        self._headers: list[tuple[str, str | bytes | None]] = [
            ("content-type", b"application/json"),
            ("tr-v", b"1"),
            ("traceparent", f"00-{self._run}-{self._interaction}-01".encode()),
        ]
        self._record_key = self._run.encode()

    def call(self, i: int) -> None:
        name, given, found = self.pool[i & MASK]
        n, pid = self._next(), self._pid
        data = {"action_name": name, "input_data": given, "output_data": found}
        place = (pid, self._run, WORKFLOW, self._iteration, self._interaction, AGENT)
        event = SameEvent(*place, f"{pid}-{n}", n, "action", datetime.now(UTC), n, data)
        self._producer.produce(
            self._topic, self._encode(event), self._record_key, on_delivery=self._on_delivery, headers=self._headers
        )
        self._producer.poll(0)
