"""Programs that a companion process ships for, on the SQLite bus of the current directory, and what came of them."""

from contextlib import aclosing

import anyio

from tailrace.bus.topics import Topics
from tailrace.config import load
from tailrace.event import decode
from tailrace.event.types import PRODUCER_LOST
from tailrace.publish.launch import companion_of
from tailrace.registry import open_bus

BEGIN = """
import asyncio, os, signal, sys, threading, time
import tailrace
log = tailrace.configure_logger("accompanied", publish="companion")
def work(count):
    with log.run():
        for step in range(count): log.log_action("step", input_data=step)
def flush(): return asyncio.run(log.flush("broker", timeout=30))
def line(*words): print(*words, flush=True)
"""


def settings():
    return load({"publish": "companion"})


def companion_process():
    """Its process id; None if none lives."""
    return companion_of(settings())


async def until(happened, seconds=30.0):
    with anyio.fail_after(seconds):
        while not (found := happened()):
            await anyio.sleep(0.01)
    return found


async def events():
    """Of the bus, by id, and how many records there were in all."""
    found, count = {}, 0
    async with aclosing(open_bus(settings())) as bus, bus.subscribe(Topics("tailrace").all_events) as subscription:
        caught_up = False
        while not caught_up:
            batch = await subscription.receive(max_records=5000, wait=0)
            found |= {event.id: event for event in (decode(record.value) for record in batch.records)}
            count += len(batch.records)
            caught_up = batch.caught_up
    return found, count


def accepted(found):
    """Without what is said of a producer by who ships its spool."""
    return [event for event in found.values() if event.type != PRODUCER_LOST]
