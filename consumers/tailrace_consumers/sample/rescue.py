"""Bringing runs back from the events topics: those that the stage wishes for, and those that a person names.

A topic is read once for many runs, from the earliest time in their ids (a run id holds the time of its making) minus
what clocks may differ. Where the beginning of a run is not found from there, its topic is read from its first record.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec

from tailrace.bus import Bus, Partition, Received, Record, Start
from tailrace.bus.bundle import Bundle
from tailrace.bus.topics import Topics
from tailrace.config import Config
from tailrace.errors import DecodeError
from tailrace.event import types
from tailrace.event.ids import run_started_at
from tailrace_consumers.dead_letters import DeadLetter
from tailrace_consumers.sample.facts import Facts, glance
from tailrace_consumers.sample.history import history
from tailrace_consumers.sample.policies import Policies
from tailrace_consumers.sample.telling import RESTORED, mark, sampled_of, stub
from tailrace_consumers.sample.waiting import Recall
from tailrace_consumers.sinks import BusSink

if TYPE_CHECKING:
    from tailrace_consumers.sinks import Sink

_SLACK = 300.0
"""Seconds by which an agent's clock may be ahead of the bus's."""
_AT_ONCE = 1000


class RestoreReport(msgspec.Struct, frozen=True):
    """What a restore did."""

    restored: dict[str, int]
    """Run -> the records passed on."""
    missing: list[str]
    """Runs of which no record is on the bus: retention removed them, or the id is wrong."""
    incomplete: list[str]
    """Runs restored without their beginning, which retention removed."""


async def restore(config: Config, bus: Bus, run_ids: Sequence[str]) -> RestoreReport:
    """Pass on what the events topics still have of these runs, marked `restored`; each topic is read once or twice.

    Their documents become whole when the other consumers have read that. A run that was kept already loses nothing by
    it. What a run says later is for the sampler again: restore a run after its end, or once more.

    Raises:
        BusError: some may be restored; doing it again is the way to go on.
    """
    topics = Topics(config.prefix)
    found = {run_id: _Found() for run_id in run_ids}
    await _pass_on(bus, topics, topics.all_events, found, _start_of(found))
    if late := {run_id: _Found() for run_id, each in found.items() if not each.has_beginning}:
        await _pass_on(bus, topics, topics.all_events, late, "earliest")
        found |= late
    return RestoreReport(
        restored={run_id: each.records for run_id, each in found.items() if each.records},
        missing=[run_id for run_id, each in found.items() if not each.records],
        incomplete=[run_id for run_id, each in found.items() if each.records and not each.has_beginning],
    )


class RecallSink:
    """Writes the sample stage's output; a `Recall` is written when the run it is of has been read and passed on.

    The stage waits meanwhile: of a Kafka partition about 150,000 records a second are looked through.
    """

    def __init__(self, bus: Bus, config: Config) -> None:
        self._bus = bus
        self._records = BusSink(bus)
        self._topics = Topics(config.prefix)
        self._settings = config.sample
        # Limits count here for themselves: a run is decided here that began before the last restart.
        self._policies = Policies(config.sample)

    async def write(self, items: Sequence[Record | Bundle | Recall]) -> list[DeadLetter]:
        recalls = [item for item in items if isinstance(item, Recall)]
        records = [item for item in items if not isinstance(item, Recall)]
        refused = await self._records.write(records) if records else []
        by_topic: dict[str, list[Recall]] = {}
        for recall in recalls:
            by_topic.setdefault(recall.partition.topic, []).append(recall)
        for topic, mine in by_topic.items():
            refused += await self._recall(topic, mine)
        return refused

    async def _recall(self, topic: str, recalls: Sequence[Recall]) -> list[DeadLetter]:
        upto = {recall.partition: recall.upto for recall in sorted(recalls, key=lambda each: each.upto)}
        marks = {recall.run: recall.sampled for recall in recalls if recall.sampled}
        open_ = [recall.run for recall in recalls if recall.sampled is None]
        dropped = []
        for run in await self._count(topic, open_, upto):
            decision = self._policies.decide(run, time.time())
            if decision.keep or self._settings.dry_run:
                marks[run.run] = sampled_of(decision, dry_run=self._settings.dry_run)
            elif self._settings.stubs:
                dropped.append(stub(self._topics.documents, run, decision))
        refused = await self._records.write(dropped) if dropped else []
        found = {run: _Found(sampled) for run, sampled in marks.items()}
        refused += await _pass_on(self._bus, self._topics, topic, found, _start_of(found), upto)
        if late := {run: _Found(marks[run]) for run, each in found.items() if not each.has_beginning}:
            refused += await _pass_on(self._bus, self._topics, topic, late, "earliest", upto)
        return refused

    async def _count(self, topic: str, runs: Collection[str], upto: Mapping[Partition, int]) -> Iterable[Facts]:
        """The facts of runs on which the stage could not decide, by all of their records."""
        facts: dict[str, Facts] = {}
        for start in (_start_of(runs), "earliest"):
            wanted = [run for run in runs if run not in facts or not facts[run].has_beginning]
            for run_id in wanted:
                facts.pop(run_id, None)
            async for record in _read(self._bus, topic, wanted, start, upto):
                event = glance(record.value)
                run = facts.get(event.run)
                if run is None:
                    run = facts[event.run] = Facts(event.run, event.workflow)
                run.hear(event, len(record.value))
        return facts.values()


class _Found:
    """How much of a wanted run was read, and the mark that it is passed on with."""

    def __init__(self, sampled: types.Sampled = RESTORED) -> None:
        self.sampled = sampled
        self.records = 0
        self._facts: Facts | None = None

    @property
    def has_beginning(self) -> bool:
        return self._facts is not None and self._facts.has_beginning

    def add(self, record: Received, sampled_topic: str) -> Iterable[Record]:
        event = glance(record.value)
        if self._facts is None:
            self._facts = Facts(event.run, event.workflow)
            yield mark(sampled_topic, event.run, event.workflow, self.sampled)
        self._facts.hear(event, len(record.value))
        self.records += 1
        yield Record(sampled_topic, record.key, record.value, record.headers)


async def _pass_on(
    bus: Bus,
    topics: Topics,
    pattern: str,
    found: Mapping[str, _Found],
    start: Start,
    upto: Mapping[Partition, int] | None = None,
) -> list[DeadLetter]:
    sink = BusSink(bus)
    refused: list[DeadLetter] = []
    waiting: list[Record] = []
    async for record in _read(bus, pattern, found, start, upto):
        waiting += found[glance(record.value).run].add(record, topics.sampled_of(record.topic))
        if len(waiting) >= _AT_ONCE:
            refused += await sink.write(waiting)
            waiting = []
    if waiting:
        refused += await sink.write(waiting)
    return refused


async def _read(
    bus: Bus, pattern: str, runs: Collection[str], start: Start, upto: Mapping[Partition, int] | None
) -> AsyncGenerator[Received]:
    """The readable records of these runs, to the offsets `upto` (or to the present end)."""
    if not runs:
        return
    keys = {run.encode() for run in runs}
    left = dict(upto or {})
    async with aclosing(history(bus, pattern, start)) as batches:
        async for records in batches:
            for record in records:
                if record.key in keys and _is_of(record, runs):
                    yield record
                if left and left.get(record.source, record.offset + 1) <= record.offset:
                    del left[record.source]
            if upto is not None and not left:
                return


def _is_of(record: Received, runs: Collection[str]) -> bool:
    """The key is the run's id, but for a producer that breaks the contract."""
    try:
        return glance(record.value).run in runs
    except DecodeError:
        return False


def _start_of(runs: Collection[str]) -> Start:
    times = [run_started_at(run) for run in runs]
    known = [time.timestamp() for time in times if time is not None]
    return min(known) - _SLACK if known and len(known) == len(times) else "earliest"


if TYPE_CHECKING:
    _sink: type[Sink[Record | Bundle | Recall]] = RecallSink
