"""The aggregate stage: from the events of kept runs to workflow documents.

A run's end emits its whole document. Before that, `live_after` brings out what is new as a partial document, so that
a run can be read while it goes on; documents join, so a reader that joins what it gets by run id misses nothing.
A run too large for one record comes in several documents, each event once.

Whoever is behind catches up first: what is late already when it arrives comes out in partial documents ten times as
rarely. Live view of the past helps nobody, and each partial document costs whoever stores it a join.

Only runs with events that were not emitted yet hold back the commit: for about `live_after`, or ten times that (with
very many runs until it is their turn), never for the length of a run. What a restart therefore forgets is the past of
open runs: their last document then lacks it until it is joined with the earlier ones (as the index stage does), and a
run that stays silent from then on is not shown as abandoned.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from tailrace.bus import Partition, Received, Record
from tailrace.bus.topics import Topics
from tailrace.config import AggregateSettings, Config
from tailrace.consumer import Progress
from tailrace.document.parsed import head, parse_checked
from tailrace.document.view import view_of
from tailrace.errors import DecodeError
from tailrace.event import CONTENT_TYPE, SCHEMA_VERSION, Event, encode, types
from tailrace.event.ids import parse_time
from tailrace_consumers.aggregate.run import NO_OFFSET, Run, Taken
from tailrace_consumers.consume import Plan, consume
from tailrace_consumers.dead_letters import DeadLetter
from tailrace_consumers.stage import RunKey

_MAX_RECORDS = 2_000
"""More at a time than other stages take, for it does little with each; they still take well under 0.1 s."""
_MAX_RECORD_BYTES = 900_000
_LIVE_PER_SECOND = 2_000
"""Partial documents; beyond it runs wait for their turn, so that live view never takes up the worker."""
_LATE_SECONDS = 2.0
"""Between an event's own time and its arrival, more than all stages and the sampler's usual waits need."""
_LATE_LIVE = 10.0
"""Times `live_after`, for a run with such events."""
_LATE_COST = 4.0
"""Of `_LIVE_PER_SECOND`, for one of these: 500 a second take an eighth of a worker. 100,000 runs wait for minutes."""
_FORGET_ENDED_AFTER = 30.0
_LOOK_EVERY = 1.0
_PID = "aggregator"
_HEADERS = (("content-type", CONTENT_TYPE.encode()), ("tr-v", SCHEMA_VERSION.encode()))
_ENDS = frozenset({types.RUN_END, types.PRODUCER_LOST})
_NOWHERE = Partition("", -1)
_encoder = msgspec.json.Encoder()


class AggregateStage:
    """Events in, rendered documents out. Not thread-safe.

    Beyond `max_held_bytes` runs are emitted as they are and forgotten: those first that have ended, of which only late
    events may still come, then the ones silent for longest (to the second).
    """

    def __init__(self, topics: Topics, settings: AggregateSettings, max_record_bytes: int = _MAX_RECORD_BYTES) -> None:
        self._max_record_bytes = max_record_bytes
        self._topic = topics.documents
        self._settings = settings
        self._runs: OrderedDict[RunKey, Run] = OrderedDict()
        """By `moved_at`: longest silent first, to the second."""
        self._pending: dict[RunKey, Run] = {}
        """Those with events that were not emitted yet."""
        self._in_time: dict[RunKey, Run] = {}
        self._late: dict[RunKey, Run] = {}
        """Of them those of which the first such event came in time, or late; longest waiting first."""
        self._ended: dict[RunKey, None] = {}
        """Those that have ended, the first one first."""
        self._held_bytes = 0
        self._looked_at = 0.0
        self._live_at = 0.0
        self._live_left = 0.0

    def feed(self, records: Sequence[Received], now: float) -> Iterator[Record | DeadLetter]:
        ended: dict[RunKey, None] = {}
        source, runs = _NOWHERE, self._runs
        for record in records:
            value = record.value
            try:
                event = head(value)
            except DecodeError as error:
                yield DeadLetter.unreadable(record, str(error))
                continue
            if record.partition != source.number or record.topic != source.topic:
                source = record.source
            key = (source, event.run)
            run = runs.get(key)
            if run is None or not run.moved_at <= now < run.moved_at + _LOOK_EVERY:
                run = self._move(key, run, now)
            if run.first_offset == NO_OFFSET:
                self._await(key, run, record.offset, event.ts, now)
            self._held_bytes += run.hear(value, record.offset, event, now)
            if event.type in _ENDS:
                run.ended = True
                ended[key] = None
            if run.held_bytes > self._max_record_bytes:
                run.overflowed = True
                yield from self._emit(key)
        for key in ended:
            yield from self._emit(key)
        self._ended.update(ended)
        while self._held_bytes > self._settings.max_held_bytes:
            yield from self._forget_run(next(iter(self._ended or self._runs)))

    def _move(self, key: RunKey, run: Run | None, now: float) -> Run:
        """Behind all others, which is not done for each event."""
        if run is None:
            run = self._runs[key] = Run()
        else:
            self._runs.move_to_end(key)
        run.moved_at = now
        return run

    def _await(self, key: RunKey, run: Run, offset: int, ts: str, now: float) -> None:
        """From here on the run has events that were not emitted."""
        self._pending[key] = run
        is_late = now - (parse_time(ts) or now) > _LATE_SECONDS
        (self._late if is_late else self._in_time)[key] = run
        run.first_offset, run.pending_since = offset, now

    def tick(self, now: float) -> Iterator[Record | DeadLetter]:
        for key in self._due(now):
            yield from self._emit(key)
        if not self._looked_at <= now < self._looked_at + _LOOK_EVERY:
            self._looked_at = now
            yield from self._look_at_silence(now)

    def _due(self, now: float) -> list[RunKey]:
        """The runs whose new events have waited long enough, as many as may be emitted now."""
        since_last = now - self._live_at if self._live_at <= now else _LOOK_EVERY  # a clock may be set back
        self._live_at = now
        self._live_left = min(_LIVE_PER_SECOND, self._live_left + since_last * _LIVE_PER_SECOND)
        due: list[RunKey] = []
        for runs, wait, cost in ((self._in_time, 1.0, 1.0), (self._late, _LATE_LIVE, _LATE_COST)):
            for key, run in runs.items():
                waited = now - run.pending_since
                if self._live_left < cost or 0 <= waited < wait * self._settings.live_after:
                    break
                due.append(key)
                self._live_left -= cost
        return due

    def _look_at_silence(self, now: float) -> Iterator[Record | DeadLetter]:
        soonest = min(_FORGET_ENDED_AFTER, self._settings.abandon_after)
        for key, run in list(self._runs.items()):
            if now - run.moved_at < soonest:
                break
            silence = now - run.heard_at
            if run.ended and silence >= _FORGET_ENDED_AFTER:
                yield from self._forget_run(key)
            elif not run.ended and silence >= self._settings.abandon_after:
                self._abandon(key, run)
                yield from self._forget_run(key)

    def _abandon(self, key: RunKey, run: Run) -> None:
        """Add `run.abandoned`, as of the last event: each later one reopens the run, and a repeat changes nothing."""
        digest = hashlib.blake2b(run.last_ts.encode(), digest_size=6).digest()
        seq = int.from_bytes(digest, "big")
        event = Event(
            id=f"{_PID}-{seq}",
            seq=seq,
            pid=_PID,
            run=key[1],
            workflow=run.workflow,
            type=types.RUN_ABANDONED,
            ts=run.last_ts,
            data=msgspec.Raw(_encoder.encode(types.Abandoned(f"no event for {self._settings.abandon_after:g} s"))),
        )
        run.values.append(encode(event))
        run.offsets.append(NO_OFFSET)
        self._pending[key] = run

    def finish(self, now: float, *, caught_up: bool) -> Iterator[Record | DeadLetter]:  # noqa: ARG002 - nothing waits
        for key in list(self._pending):
            yield from self._emit(key)

    def held(self) -> Mapping[Partition, int]:
        lowest: dict[Partition, int] = {}
        for (partition, _), run in self._pending.items():
            offset = lowest.get(partition)
            if offset is None or run.first_offset < offset:
                lowest[partition] = run.first_offset
        return lowest

    def forget(self, partitions: Collection[Partition]) -> None:
        if not partitions:
            return
        for key in [key for key in self._runs if key[0] in partitions]:
            self._settle(key)
            self._let_go(key)

    def counts(self) -> Mapping[str, int]:
        """Runs in memory, those of them with events not emitted yet, and about the bytes they take."""
        return {"runs": len(self._runs), "pending": len(self._pending), "held_bytes": self._held_bytes}

    def _forget_run(self, key: RunKey) -> Iterator[Record | DeadLetter]:
        yield from self._emit(key)
        self._let_go(key)

    def _let_go(self, key: RunKey) -> None:
        self._held_bytes -= self._runs.pop(key).held_bytes
        self._ended.pop(key, None)

    def _settle(self, key: RunKey) -> Run | None:
        """The run, if it was pending, which it is no longer."""
        self._in_time.pop(key, None)
        self._late.pop(key, None)
        return self._pending.pop(key, None)

    def _emit(self, key: RunKey) -> Iterator[Record | DeadLetter]:
        run = self._settle(key)
        if run is not None:
            before = run.held_bytes
            taken = run.take()
            self._held_bytes -= before - run.held_bytes
            for made in self._documents(key, taken):
                if isinstance(made, DeadLetter):
                    self._held_bytes -= run.remove(made.offset)  # or its whole document would say so again
                yield made

    def _documents(self, key: RunKey, taken: Taken) -> Iterator[Record | DeadLetter]:
        """One document of these events, or, where it is too large for a record or cannot be made, one of each half."""
        run_id = key[1]
        if not taken.values:
            return
        try:
            state, body = _render(run_id, taken.values)
        except Exception as error:  # noqa: BLE001 - one hostile event must not hold up all other runs
            errors = {place: why for place, value in enumerate(taken.values) if (why := _error_of(value))}
            if errors:
                for place, why in errors.items():
                    yield _unusable(key, taken.only([place]), why)
                yield from self._documents(key, taken.only([n for n in range(len(taken.values)) if n not in errors]))
                return
            if len(taken.values) == 1:
                if taken.offsets[0] != NO_OFFSET:
                    yield _unusable(key, taken, repr(error))
                return
        else:
            if len(body) <= self._max_record_bytes or len(taken.values) == 1:
                yield Record(self._topic, run_id.encode(), body, _headers(state))
                return
        for half in taken.halves():
            yield from self._documents(key, half)


def _render(run_id: str, values: Sequence[bytes]) -> tuple[str, bytes]:
    element = view_of(run_id, [parse_checked(value) for value in values])
    return element["state"], _encoder.encode(element)


def _error_of(value: bytes) -> str:
    """What `head` did not see of an event that can't be read; empty if there is nothing."""
    try:
        parse_checked(value)
    except DecodeError as error:
        return str(error)
    return ""


def _unusable(key: RunKey, taken: Taken, error: str) -> DeadLetter:
    """The one event taken, without the headers of its record, which are not held."""
    (topic, partition), run_id = key
    return DeadLetter(topic, partition, taken.offsets[0], run_id.encode(), taken.values[0], _HEADERS, error)


def _headers(state: str) -> tuple[tuple[str, bytes], ...]:
    return (*_HEADERS, ("tr-state", state.encode()))


def plan(config: Config) -> Plan:
    topics = Topics(config.prefix)
    stage = AggregateStage(topics, config.aggregate)
    return Plan("aggregate", stage, reads=topics.all_sampled, creates=(topics.documents,), max_records=_MAX_RECORDS)


async def consumer(
    config: Config,
    *,
    until: Literal["cancelled", "caught_up"] = "cancelled",
    report: Callable[[Progress], None] | None = None,
) -> list[Progress]:
    """The entry point `aggregate`; see `tailrace.consumer.Consumer`."""
    return await consume(config, [plan(config)], until=until, report=report)
