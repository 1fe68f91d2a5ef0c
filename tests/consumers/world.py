"""A bus in memory that crashes its reader on a given schedule; what was published and committed survives."""

from contextlib import asynccontextmanager

import anyio

from tailrace.bus import Batch, Partition, Received, Record, matches
from tailrace.bus.topics import partition_of
from tailrace.consumer import Progress
from tailrace.event import encode
from tailrace_consumers.dead_letters import DeadLetters
from tailrace_consumers.retry import Retry
from tailrace_consumers.runner import Runner
from tailrace_consumers.sinks import BusSink, StoreSink
from tests.consumers.making import TOPICS


class Crash(Exception):  # noqa: N818 - not an error of the code under test
    """The process is gone."""


class World:
    """Topics and committed offsets. `faults` maps the number of an operation to what happens in it.

    Operations are publish, merge and commit (`before`, `half`, `after`: the process dies there, having done nothing,
    half or all of it) and receive (`revoke`: all partitions go away and come back; else it dies).
    """

    def __init__(self, partitions=2):
        self.partitions = partitions
        self.topics = {}
        self.committed = {}
        self.faults = {}
        self.operation = 0
        self.crashes = 0
        self.time = 1000.0

    def clock(self):
        self.time += 0.3  # so that the runner commits now and then
        return self.time

    def fault(self):
        self.operation += 1
        return self.faults.pop(self.operation, None)

    def die(self):
        self.crashes += 1
        raise Crash

    async def publish(self, records):
        await self.faulty(self.append, list(records))

    async def faulty(self, work, items):
        fault = self.fault()
        if fault is None or fault == "after":
            work(items)
        elif fault == "half":
            work(items[: len(items) // 2])
        if fault is not None:
            self.die()

    def append(self, records):
        for record in records:
            parts = self.topics.setdefault(record.topic, [[] for _ in range(self.partitions)])
            number = partition_of(record.key, len(parts))
            part = parts[number]
            part.append(
                Received(record.topic, number, len(part), record.key, record.value, record.headers, timestamp=1000.0)
            )

    def append_events(self, topic, events):
        self.append([Record(topic, event.run.encode(), encode(event)) for event in events])

    def records(self, pattern):
        found = [parts for topic, parts in self.topics.items() if matches(topic, [pattern])]
        return [record for parts in found for part in parts for record in part]

    @asynccontextmanager
    async def subscribe(self, pattern, *, group=None, start="earliest"):
        if group is None:
            yield Reading(self, pattern, 0.0 if start == "earliest" else start)
        else:
            yield FaultySubscription(self, pattern, self.committed.setdefault(group, {}))

    def lag(self, pattern, group):
        done = self.committed.get(group, {})
        return sum(1 for record in self.records(pattern) if record.offset >= done.get(record.source, 0))


class FaultySubscription:
    active = True

    def __init__(self, world, pattern, committed):
        self.world = world
        self.pattern = pattern
        self.committed = committed
        self.positions = dict(committed)

    async def receive(self, *, max_records, wait, max_bytes=None):
        await anyio.lowlevel.checkpoint()
        fault = self.world.fault()
        if fault == "revoke":
            gone = list(self.positions)
            self.positions = dict(self.committed)
            return Batch(revoked=gone)
        if fault is not None:
            self.world.die()
        found = [r for r in self.world.records(self.pattern) if r.offset >= self.positions.get(r.source, 0)]
        batch = found[:max_records]
        for record in batch:
            self.positions[record.source] = record.offset + 1
        return Batch(batch, caught_up=len(batch) == len(found))

    async def commit(self, upto):
        for partition, offset in upto.items():
            assert isinstance(partition, Partition)
            assert offset <= self.positions[partition]
        await self.world.faulty(self.committed.update, list(upto.items()))


class Reading:
    """A subscription without a group: crashes as the world says, commits nothing."""

    active = True

    def __init__(self, world, pattern, since):
        self.world = world
        self.left = [record for record in world.records(pattern) if record.timestamp >= since]

    async def receive(self, *, max_records, wait, max_bytes=None):
        await anyio.lowlevel.checkpoint()
        if self.world.fault() in {"before", "half", "after"}:
            self.world.die()
        batch, self.left = self.left[:max_records], self.left[max_records:]
        return Batch(batch, caught_up=not self.left)


class FaultyStore:
    """A store whose merges crash as the world says."""

    def __init__(self, world, store):
        self.world = world
        self.store = store

    async def merge(self, documents):
        fault = self.world.fault()
        if fault != "before":
            await self.store.merge(documents[: len(documents) // 2] if fault == "half" else documents)
        if fault is not None:
            self.world.die()
        return []


def sink_of(plan, world, store):
    if plan.sink:
        return plan.sink(world)
    return StoreSink(FaultyStore(world, store)) if plan.into_store else BusSink(world)


async def run_once(world, plan, *, store=None, max_records=1000):
    """One process: from the committed offsets until caught up, or until it crashes."""
    group = TOPICS.group(plan.name)

    async def backlog():
        return world.lag(plan.reads, group)

    runner = Runner(
        plan.stage,
        sink_of(plan, world, store),
        DeadLetters(world, TOPICS.dead, plan.name),
        Retry(Progress(plan.name)),
        backlog=backlog,
        clock=world.clock,
        max_records=max_records,
    )
    async with world.subscribe(plan.reads, group=group) as subscription:

        async def connect():
            return subscription

        await runner.run(connect, until="caught_up")
    return runner.progress


async def run_through(world, make_plan, **options):
    """Start the stage anew after each crash until it has caught up."""
    while True:
        try:
            return await run_once(world, make_plan(), **options)
        except Crash:
            continue
