"""The aggregate stage: from the events of kept runs to workflow documents.

A run's end emits its whole document. Before that, `live_after` brings out what is new as a partial document, so that
a run can be read while it goes on; documents join, so a reader that joins what it gets by run id misses nothing.
A run too large for one record comes in several documents, each event once.

Only runs with events that were not emitted yet hold back the commit: for about `live_after`, never for the length of
a run. What a restart therefore forgets is the past of open runs: their last document then lacks it until it is joined
with the earlier ones (as the index stage does), and a run that stays silent from then on is not shown as abandoned.
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
from tailrace.document import Document
from tailrace.document.view import view
from tailrace.errors import DecodeError
from tailrace.event import CONTENT_TYPE, SCHEMA_VERSION, Event, decode, types
from tailrace_consumers.consume import Plan, consume
from tailrace_consumers.dead_letters import DeadLetter
from tailrace_consumers.stage import RunKey

_MAX_RECORD_BYTES = 900_000
_EVENT_OVERHEAD = 1000
"""About what a held event takes beside its bytes."""
_FORGET_ENDED_AFTER = 30.0
_LOOK_EVERY = 1.0
_PID = "aggregator"
_ENDS = frozenset({types.RUN_END, types.PRODUCER_LOST})
_encoder = msgspec.json.Encoder()


class _Heard(msgspec.Struct, frozen=True):
    """An event, and the record to blame if no document can be made of it (none for the stage's own)."""

    event: Event
    record: Received | None

    @property
    def size(self) -> int:
        return len(self.record.value) if self.record else 0


class _Run:
    """What is held of a run: its events, of which the first `emitted` stand in a document already."""

    __slots__ = (
        *("emitted", "ended", "events", "first_offset", "heard_at"),
        *("held_bytes", "last_ts", "pending_since", "wire_bytes", "workflow"),
    )

    def __init__(self) -> None:
        self.events: list[_Heard] = []
        self.emitted = 0
        self.ended = False
        self.heard_at = 0.0
        self.last_ts = self.workflow = ""
        self.first_offset = 0
        """Of the events not emitted yet, as is `pending_since`."""
        self.pending_since = 0.0
        self.wire_bytes = 0
        """Of all events so far, also of those let go."""
        self.held_bytes = 0

    @property
    def fits(self) -> bool:
        """Whether the whole document goes into one record, so that its events are worth keeping for the end."""
        return self.wire_bytes <= _MAX_RECORD_BYTES

    def add(self, heard: _Heard) -> None:
        self.events.append(heard)
        self.wire_bytes += heard.size
        self.held_bytes += heard.size + _EVENT_OVERHEAD
        self.workflow = heard.event.workflow
        self.last_ts = max(self.last_ts, heard.event.ts)

    def take(self) -> list[_Heard]:
        """The events of the next document: the whole run if it has ended and fits, else what is new."""
        taken = self.events if self.ended and self.fits else self.events[self.emitted :]
        if self.fits:
            self.emitted = len(self.events)
        else:
            self.events, self.emitted, self.held_bytes = [], 0, 0
        return taken


class AggregateStage:
    """Events in, rendered documents out. Not thread-safe.

    Beyond `max_held_bytes` the runs that have been silent longest are emitted as they are and forgotten.
    """

    def __init__(self, topics: Topics, settings: AggregateSettings) -> None:
        self._topic = topics.documents
        self._settings = settings
        self._runs: OrderedDict[RunKey, _Run] = OrderedDict()
        """Longest silent first."""
        self._pending: dict[RunKey, _Run] = {}
        """Those with events that were not emitted yet, oldest first."""
        self._held_bytes = 0
        self._looked_at = 0.0

    def feed(self, records: Sequence[Received], now: float) -> Iterator[Record | DeadLetter]:
        ended: dict[RunKey, None] = {}
        for record in records:
            try:
                event = decode(record.value)
            except DecodeError as error:
                yield DeadLetter.unreadable(record, str(error))
                continue
            key = (record.source, event.run)
            run = self._hear(key, _Heard(event, record), record.offset, now)
            if event.type in _ENDS:
                ended[key] = None
            if run.held_bytes > _MAX_RECORD_BYTES and not run.fits:
                yield from self._emit(key)
        for key in ended:
            yield from self._emit(key)
        while self._held_bytes > self._settings.max_held_bytes:
            yield from self._forget_run(next(iter(self._runs)))

    def _hear(self, key: RunKey, heard: _Heard, offset: int, now: float) -> _Run:
        run = self._runs.get(key)
        if run is None:
            run = self._runs[key] = _Run()
        else:
            self._runs.move_to_end(key)
        if key not in self._pending:
            self._pending[key] = run
            run.first_offset, run.pending_since = offset, now
        run.heard_at = now
        run.ended = run.ended or heard.event.type in _ENDS
        run.add(heard)
        self._held_bytes += heard.size + _EVENT_OVERHEAD
        return run

    def tick(self, now: float) -> Iterator[Record | DeadLetter]:
        for key in [key for key, run in self._pending.items() if now >= run.pending_since + self._settings.live_after]:
            yield from self._emit(key)
        if not self._looked_at <= now < self._looked_at + _LOOK_EVERY:
            self._looked_at = now
            yield from self._look_at_silence(now)

    def _look_at_silence(self, now: float) -> Iterator[Record | DeadLetter]:
        soonest = min(_FORGET_ENDED_AFTER, self._settings.abandon_after)
        for key, run in list(self._runs.items()):
            silence = now - run.heard_at
            if silence < soonest:
                break
            if run.ended and silence >= _FORGET_ENDED_AFTER:
                yield from self._forget_run(key)
            elif not run.ended and silence >= self._settings.abandon_after:
                self._abandon(key, run)
                yield from self._forget_run(key)

    def _abandon(self, key: RunKey, run: _Run) -> None:
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
        run.add(_Heard(event, None))
        self._held_bytes += _EVENT_OVERHEAD
        self._pending[key] = run

    def finish(self, now: float, *, caught_up: bool) -> Iterator[Record | DeadLetter]:  # noqa: ARG002 - nothing waits
        for key in list(self._pending):
            yield from self._emit(key)

    def held(self) -> Mapping[Partition, int]:
        lowest: dict[Partition, int] = {}
        for (partition, _), run in self._pending.items():
            lowest[partition] = min(run.first_offset, lowest.get(partition, run.first_offset))
        return lowest

    def forget(self, partitions: Collection[Partition]) -> None:
        if not partitions:
            return
        for key in [key for key in self._runs if key[0] in partitions]:
            self._held_bytes -= self._runs.pop(key).held_bytes
            self._pending.pop(key, None)

    def counts(self) -> Mapping[str, int]:
        """Runs in memory, those of them with events not emitted yet, and about the bytes they take."""
        return {"runs": len(self._runs), "pending": len(self._pending), "held_bytes": self._held_bytes}

    def _forget_run(self, key: RunKey) -> Iterator[Record | DeadLetter]:
        yield from self._emit(key)
        self._held_bytes -= self._runs.pop(key).held_bytes

    def _emit(self, key: RunKey) -> Iterator[Record | DeadLetter]:
        run = self._pending.pop(key, None)
        if run is not None:
            before = run.held_bytes
            events = run.take()
            self._held_bytes -= before - run.held_bytes
            yield from self._documents(key[1], events)

    def _documents(self, run_id: str, events: Sequence[_Heard]) -> Iterator[Record | DeadLetter]:
        """One document of these events, or, where it is too large for a record or cannot be made, one of each half."""
        try:
            state, body = _render(run_id, events)
        except Exception as error:  # noqa: BLE001 - one hostile event must not hold up all other runs
            if len(events) == 1:
                if events[0].record:
                    yield DeadLetter.unreadable(events[0].record, repr(error))
                return
        else:
            if len(body) <= _MAX_RECORD_BYTES or len(events) == 1:
                yield Record(self._topic, run_id.encode(), body, _headers(state))
                return
        middle = len(events) // 2
        yield from self._documents(run_id, events[:middle])
        yield from self._documents(run_id, events[middle:])


def _render(run_id: str, events: Sequence[_Heard]) -> tuple[str, bytes]:
    document = Document(run_id)
    for heard in events:
        document.fold(heard.event)
    element = view(document)
    return element["state"], _encoder.encode(element)


def _headers(state: str) -> tuple[tuple[str, bytes], ...]:
    return (
        ("content-type", CONTENT_TYPE.encode()),
        ("tr-v", SCHEMA_VERSION.encode()),
        ("tr-state", state.encode()),
    )


def plan(config: Config) -> Plan:
    topics = Topics(config.prefix)
    stage = AggregateStage(topics, config.aggregate)
    return Plan("aggregate", stage, reads=topics.all_sampled, creates=(topics.documents,))


async def consumer(
    config: Config,
    *,
    until: Literal["cancelled", "caught_up"] = "cancelled",
    report: Callable[[Progress], None] | None = None,
) -> list[Progress]:
    """The entry point `aggregate`; see `tailrace.consumer.Consumer`."""
    return await consume(config, [plan(config)], until=until, report=report)
