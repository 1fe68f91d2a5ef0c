"""Puts onto a topic what a measurement reads.

`python -m benchmarks.consumers.fill KAFKA READS WRITES WHAT RUNS OPEN`
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Iterator

from benchmarks.consumers import job
from tailrace.bus import Record
from tailrace.config import Config
from tailrace.registry import open_bus

_AT_ONCE = 5_000


async def fill(kafka: str, topics: tuple[str, str], records: Iterator[Record]) -> None:
    """`topics`: both are made, for not everyone makes what it writes to."""
    bus = open_bus(Config(bus=f"kafka://{kafka}"))
    try:
        await bus.create_topics(topics)
        while some := list(itertools.islice(records, _AT_ONCE)):
            await bus.publish(some)
    finally:
        await bus.aclose()


def made(topic: str, what: str, runs: int, open_at_once: int) -> Iterator[Record]:
    """`what`: `events`, `small`, `long` (of that many events, one run) or `documents`."""
    if what == "events":
        return job.events(topic, runs, open_at_once, job.steps, job.EVENTS_A_RUN)
    if what == "small":
        return job.events(topic, runs, open_at_once, job.small_steps, job.SMALL_EVENTS_A_RUN)
    if what == "long":
        return job.events(topic, 1, 1, job.long_steps(runs), runs)
    return job.documents(topic, runs)


def main() -> None:
    kafka, reads, writes, what, runs, open_at_once = sys.argv[1:]
    asyncio.run(fill(kafka, (reads, writes), made(reads, what, int(runs), int(open_at_once))))


if __name__ == "__main__":
    main()
