"""Starting and stopping aiokafka's clients in bounded time, whatever state they and the brokers are in."""

from __future__ import annotations

import asyncio

import anyio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError

from tailrace.bus.kafka.errors import bus_errors
from tailrace.bus.kafka.url import Brokers

_STOP_SECONDS = 3.0
"""For leaving politely; the same once more for giving up."""


async def start(brokers: Brokers, client: AIOKafkaProducer | AIOKafkaConsumer | AIOKafkaAdminClient) -> None:
    """Find a broker that answers. What a client does in a group comes after that, in the background.

    Raises:
        BusError: none was found; tells why.
    """
    with bus_errors(brokers, "connecting"):
        try:
            with anyio.fail_after(brokers.connect_timeout):
                await client.start()
        except KafkaConnectionError as error:
            raise await _reason(brokers) from error


async def _reason(brokers: Brokers) -> KafkaError | OSError:
    """Why the first broker cannot be used: aiokafka logs it, and raises without it."""
    server, options = brokers.servers[0], brokers.client()
    del options["bootstrap_servers"]
    host, _, port = server.rpartition(":")
    try:
        connection = await create_conn(host.strip("[]"), int(port), **options)
    except ConnectionResetError:
        what = "cuts the connection"
    except (KafkaError, OSError) as error:
        return error
    else:
        connection.close()
        what = "takes the connection and does not answer"
    return OSError(
        f"{server} {what}; is {brokers.options.security_protocol} what it speaks (option security_protocol)?"
    )


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
