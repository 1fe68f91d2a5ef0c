"""Starting and stopping aiokafka's clients in bounded time, whatever state they and the brokers are in."""

from __future__ import annotations

import asyncio

import anyio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError

from tailrace.bus.kafka.errors import bus_errors
from tailrace.bus.kafka.url import Brokers

_STOP_SECONDS = 3.0
"""For leaving politely; the same once more for giving up."""


async def start_producer(brokers: Brokers, producer: AIOKafkaProducer) -> None:
    """Connect.

    Raises:
        BusError: no broker was reached.
    """
    try:
        with bus_errors(brokers, "connecting"), anyio.fail_after(brokers.connect_timeout):
            await producer.start()
    except BaseException:
        await stop_producer(producer)
        raise


async def start_consumer(brokers: Brokers, consumer: AIOKafkaConsumer) -> None:
    """As `start_producer`; of a group only the brokers are known then, joining it goes on in the background."""
    try:
        with bus_errors(brokers, "connecting"), anyio.fail_after(brokers.connect_timeout):
            await consumer.start()
    except BaseException:
        await stop_consumer(consumer)
        raise


async def stop_producer(producer: AIOKafkaProducer) -> None:
    """Stop; what was not acknowledged by then fails. Also when cancelled, and then still in bounded time."""
    stopping = asyncio.ensure_future(producer.stop())
    with anyio.CancelScope(shield=True):
        done, _ = await asyncio.wait([stopping], timeout=_STOP_SECONDS)
        if not done:
            # Without brokers `stop` waits for its batches, and they for an answer: fail them, and cut the connections.
            producer._message_accumulator.fail_all(KafkaConnectionError("the producer was stopped"))  # noqa: SLF001
            producer._sender.sender_task.cancel()  # noqa: SLF001
            await producer.client.close()
        await _ended(stopping)


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop and leave the group. Also when cancelled, and then still in bounded time."""
    stopping = asyncio.ensure_future(consumer.stop())
    with anyio.CancelScope(shield=True):
        done, _ = await asyncio.wait([stopping], timeout=_STOP_SECONDS)
        if not done:
            # It waits for the group to form, or for brokers that do not answer: cut the connections.
            await consumer._client.close()  # noqa: SLF001
        await _ended(stopping)


async def _ended(stopping: asyncio.Future[None]) -> None:
    await asyncio.wait([stopping], timeout=_STOP_SECONDS)
    if not stopping.cancel():
        stopping.exception()  # nobody could do anything about it
