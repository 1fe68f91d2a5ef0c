"""The three stages one behind the other, each with a group of workers, from an events topic to a store."""

from __future__ import annotations

import random
from contextlib import aclosing
from pathlib import Path
from typing import Any, Self

import anyio

from tailrace.bus.topics import Topics
from tailrace.config import load
from tailrace.registry import open_bus
from tests.system.consumers.feed import Input, as_events
from tests.system.consumers.lane import kept, settings_of, stored
from tests.system.consumers.load import WORKFLOW, Agents
from tests.system.consumers.points import STAGES
from tests.system.consumers.verdict import Verdict, judge_documents
from tests.system.consumers.worker import Worker

_READ_SECONDS = 120.0
_LOOK_EVERY = 0.2


class Chain:
    """Leave it as a context manager: no worker outlives it."""

    def __init__(self, bus: str, directory: Path, name: str, seed: int, **settings: Any) -> None:
        self._settings = settings_of(bus, directory, f"{name}-{seed}", partitions=6) | settings
        self._config = load(self._settings)
        self._topics = Topics(self._config.prefix)
        self.workers: dict[str, list[Worker]] = {stage: [] for stage in STAGES}
        events = self._topics.events(WORKFLOW)
        chosen = random.Random(f"{seed} {name}")
        agents = Agents(name, chosen.randrange(1 << 32), at_once=30, strange_runs=0.1)
        self.input = Input(events, as_events, agents, chosen.randrange(1 << 32))
        anyio.run(self._create, [events, self._topics.sampled_of(events), self._topics.documents, self._topics.dead])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for workers in self.workers.values():
            for worker in workers:
                worker.kill()

    def join(self, stage: str) -> None:
        """One more worker for the stage."""
        self.workers[stage].append(Worker(stage, self._settings))

    def check_alive(self) -> None:
        for workers in self.workers.values():
            for worker in workers:
                worker.check_alive()

    def judge(self) -> Verdict:
        """Wait until the workers have read everything, end them in order, and compare the store with the events."""
        unread = anyio.run(self._unread)
        self.check_alive()
        for workers in self.workers.values():
            while workers:
                workers.pop().terminate()
        expected = kept(self.input.accepted)
        found = anyio.run(stored, self._config, {event.run for event in expected})
        verdict = judge_documents(expected, found)
        verdict.unread = unread
        return verdict

    async def _create(self, names: list[str]) -> None:
        async with aclosing(open_bus(self._config)) as bus:
            await bus.create_topics(names)

    async def _unread(self) -> int:
        """What the groups have not committed, stage by stage: once one has read all, nothing new comes to the next."""
        reads = (self._topics.all_events, self._topics.all_sampled, self._topics.documents)
        left = 0
        async with aclosing(open_bus(self._config)) as bus:
            for stage, topic in zip(STAGES, reads, strict=True):
                with anyio.move_on_after(_READ_SECONDS):
                    while left := sum((await bus.lag(topic, group=self._topics.group(stage))).values()):
                        self.check_alive()
                        await anyio.sleep(_LOOK_EVERY)
                if left:
                    break
        return left
