"""A process that publishes to a bus: `python publisher.py URL TOPIC KEY COUNT` writes the values 0 to COUNT - 1."""

import sys

import anyio

from tailrace.bus import Record
from tailrace.config import Config
from tailrace.registry import open_bus


async def publish(url: str, topic: str, key: str, count: int) -> None:
    bus = open_bus(Config(bus=url))
    try:
        for number in range(0, count, 10):
            batch = [
                Record(topic, key.encode(), str(value).encode()) for value in range(number, min(number + 10, count))
            ]
            await bus.publish(batch)
    finally:
        await bus.aclose()


if __name__ == "__main__":
    anyio.run(publish, *sys.argv[1:4], int(sys.argv[4]))
