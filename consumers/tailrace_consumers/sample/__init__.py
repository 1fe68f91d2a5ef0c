"""The sample stage: reads every event, passes on those of the runs that are kept, byte for byte.

A run kept by its id is passed on as it comes and holds nothing. With `keep_errors` the other runs wait: until an error
keeps them, or until they have ended (or fallen silent) without one. They hold back the commit of their first record,
so that after a crash they are decided again, by the same events; a run that an error has kept goes on holding until
its end, because a restart behind the error would no longer know of it.

Limits: a record that comes later than `grace` after its run's end is judged by memory, which a restart clears; a run
that speaks for days holds back its partition's commit for days; and the parts of a run on two workflows' topics are
decided one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from tailrace.bus import Partition, Received, Record
from tailrace.bus.topics import Topics
from tailrace.config import Config, SampleSettings
from tailrace.consumer import Progress
from tailrace.errors import DecodeError
from tailrace.event import CONTENT_TYPE, SCHEMA_VERSION, Event, decode, encode, types
from tailrace.event.ids import run_started_at, time_text
from tailrace_consumers.consume import Plan, consume
from tailrace_consumers.dead_letters import DeadLetter
from tailrace_consumers.sample.memory import Decision, Decisions
from tailrace_consumers.sample.policies import Policy, is_error
from tailrace_consumers.sample.waiting import Waiting
from tailrace_consumers.stage import RunKey

_PID = "sampler"
_HEADERS = (("content-type", CONTENT_TYPE.encode()), ("tr-v", SCHEMA_VERSION.encode()))
_ENDS = frozenset({types.RUN_END, types.PRODUCER_LOST})
_MAX_HELD_BYTES = 256 << 20
_LOOK_EVERY = 0.25


class SampleStage:
    """Whole runs in, whole runs out or nothing. Not thread-safe.

    Beyond `max_held_bytes` the runs that have waited longest are decided with what has arrived: they are dropped.
    """

    def __init__(self, topics: Topics, settings: SampleSettings, max_held_bytes: int = _MAX_HELD_BYTES) -> None:
        self._topics = topics
        self._settings = settings
        self._policy = Policy.of(settings)
        self._max_held_bytes = max_held_bytes
        self._held_bytes = 0
        self._undecided: dict[RunKey, Waiting] = {}
        self._failed: dict[RunKey, Waiting] = {}
        """Kept by an error and still holding; their records are already passed on."""
        self._decisions = Decisions()
        self._looked_at = 0.0

    def feed(self, records: Sequence[Received], now: float) -> Iterator[Record | DeadLetter]:
        for record in records:
            try:
                event = decode(record.value)
            except DecodeError as error:
                yield DeadLetter.unreadable(record, str(error))
            else:
                yield from self._take(record, event, now)
        while self._held_bytes > self._max_held_bytes:
            self._drop(next(iter(self._undecided)))

    def _take(self, record: Received, event: Event, now: float) -> Iterator[Record]:
        if self._policy.keeps_all:
            yield self._pass_on(record)
        elif self._policy.keeps(event.run):
            yield from self._note_kept(record, event)
            yield self._pass_on(record)
        elif self._policy.keep_errors:
            yield from self._take_other(record, event, now)
        else:
            self._decisions.put((record.source, event.run), Decision.DROPPED)

    def _note_kept(self, record: Received, event: Event) -> Iterator[Record]:
        """A run kept by its id says so once, and once more if an error would have kept it in any case."""
        key = (record.source, event.run)
        known = self._decisions.get(key)
        if known is None:
            self._decisions.put(key, Decision.KEPT_BY_RATE)
            yield self._sampled(record, event, 0, self._policy.by_rate())
        if self._policy.keep_errors and known is not Decision.KEPT_BY_ERROR and is_error(event):
            self._decisions.put(key, Decision.KEPT_BY_ERROR)
            yield self._sampled(record, event, 1, self._policy.by_error())

    def _take_other(self, record: Received, event: Event, now: float) -> Iterator[Record]:
        """A run that only an error can keep."""
        key = (record.source, event.run)
        run = self._failed.get(key) or self._undecided.get(key)
        failed = is_error(event)
        if run is None:
            known = self._decisions.get(key)
            if known is Decision.KEPT_BY_ERROR:
                yield self._pass_on(record)
                return
            if known is Decision.DROPPED and not failed:
                return
            run = self._undecided[key] = Waiting(record.offset)
        self._held_bytes += run.hear(record, now, ended=event.type in _ENDS, keep=key in self._undecided)
        if key in self._failed:
            yield self._pass_on(record)
        elif failed:
            self._decisions.put(key, Decision.KEPT_BY_ERROR)
            yield self._sampled(record, event, 1, self._policy.by_error())
            yield from map(self._pass_on, run.records)
            self._failed[key] = self._undecided.pop(key)
            self._held_bytes -= run.release()

    def tick(self, now: float) -> Iterable[Record]:
        if not self._looked_at <= now < self._looked_at + _LOOK_EVERY:
            self._looked_at = now
            self._settle(lambda run: run.is_due(now, self._settings))
        return ()

    def finish(self, now: float, *, caught_up: bool) -> Iterable[Record]:
        if caught_up:
            self._settle(lambda run: run.is_due_by_bus(now, self._settings))
        return ()

    def held(self) -> Mapping[Partition, int]:
        lowest: dict[Partition, int] = {}
        for waiting in (self._undecided, self._failed):
            for (partition, _), run in waiting.items():
                lowest[partition] = min(run.first_offset, lowest.get(partition, run.first_offset))
        return lowest

    def forget(self, partitions: Collection[Partition]) -> None:
        if not partitions:
            return
        for waiting in (self._undecided, self._failed):
            for key in [key for key in waiting if key[0] in partitions]:
                self._held_bytes -= waiting.pop(key).release()
        self._decisions.forget(partitions)

    def counts(self) -> Mapping[str, int]:
        """Runs kept and dropped since the start (one that comes back after very many others counts twice), and held."""
        return {**self._decisions.counts(), "undecided": len(self._undecided), "held_bytes": self._held_bytes}

    def _settle(self, is_due: Callable[[Waiting], bool]) -> None:
        for key in [key for key, run in self._undecided.items() if is_due(run)]:
            self._drop(key)
        for key in [key for key, run in self._failed.items() if is_due(run)]:
            del self._failed[key]

    def _drop(self, key: RunKey) -> None:
        self._held_bytes -= self._undecided.pop(key).release()
        self._decisions.put(key, Decision.DROPPED)

    def _pass_on(self, record: Received) -> Record:
        return Record(self._topics.sampled_of(record.topic), record.key, record.value, record.headers)

    def _sampled(self, record: Received, event: Event, seq: int, sampled: types.Sampled) -> Record:
        """The decision as an event of the run: the same bytes whenever it is said, whichever event it is said at."""
        told = Event(
            id=f"{_PID}-{seq}",
            seq=seq,
            pid=_PID,
            run=event.run,
            workflow=event.workflow,
            type=types.RUN_SAMPLED,
            ts=_time_of(event.run),
            data=msgspec.Raw(msgspec.json.encode(sampled)),
        )
        return Record(self._topics.sampled_of(record.topic), record.key, encode(told), _HEADERS)


def _time_of(run_id: str) -> str:
    """The time in the run id. A foreign id has none: 1970, before every event, so that it reopens no abandoned run."""
    started = run_started_at(run_id)
    return time_text(started.timestamp() if started else 0.0)


def plan(config: Config) -> Plan:
    topics = Topics(config.prefix)
    return Plan("sample", SampleStage(topics, config.sample), reads=topics.all_events)


async def consumer(
    config: Config,
    *,
    until: Literal["cancelled", "caught_up"] = "cancelled",
    report: Callable[[Progress], None] | None = None,
) -> list[Progress]:
    """The entry point `sample`; see `tailrace.consumer.Consumer`."""
    return await consume(config, [plan(config)], until=until, report=report)
