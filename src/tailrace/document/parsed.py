"""Events with their `data` taken apart one level deep: what a document is rendered from.

Parsing is most of what reading an event costs, so who both reads and renders (the aggregate stage) parses once, and
holds no `Event` in between.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tailrace.document.intervals import Intervals
from tailrace.errors import DecodeError
from tailrace.event import Event, Stamp, check, decode, encode


class Head(msgspec.Struct, gc=False):
    """What an event says of itself, without what it belongs to and what it holds."""

    id: str
    seq: int
    pid: str
    run: str
    workflow: str
    type: str
    ts: str


class Parsed(Head, kw_only=True, forbid_unknown_fields=True, gc=False):
    """The fields of `Event`; treat it as frozen. No garbage collection: nothing in it can refer back to it."""

    iteration: str = ""
    interaction: str = ""
    action: str = ""
    agent: str = ""
    n: int = -1
    data: dict[str, msgspec.Raw] = {}
    """Payload values stay as they came, byte by byte."""
    extra: dict[str, msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    """Envelope fields of a newer version; unset if there are none. Not a field on the wire, as in `Event`."""


_known = msgspec.json.Decoder(Parsed)
_head = msgspec.json.Decoder(Head)
_data = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode
_EMPTY = msgspec.Raw(b"{}")


def parse(value: bytes) -> Parsed:
    """One record's value, as `event.decode` reads it. Whatever this takes can be rendered.

    Raises:
        DecodeError: it is no event, and what is wrong with it.
    """
    check(value)
    return parse_checked(value)


def parse_checked(value: bytes) -> Parsed:
    """As `parse`, of what has passed `event.check`."""
    try:
        event = _known.decode(value)
        if event.extra is msgspec.UNSET:
            return event
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass  # a newer version's, or none: `decode` knows, and says why
    try:
        return parsed(decode(value))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise DecodeError(f"not an event: {error}") from error


def head(value: bytes) -> Head:
    """What holding a record's event takes, at half of what `parse` costs, which may still refuse it.

    Raises:
        DecodeError: it is no event, and what is wrong with it.
    """
    check(value)
    try:
        return _head.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"not an event: {error}") from error


def parsed(event: Event) -> Parsed:
    """An event taken apart.

    Raises:
        msgspec.DecodeError: `data` has a key that is no text.
    """
    return Parsed(
        id=event.id,
        seq=event.seq,
        pid=event.pid,
        run=event.run,
        workflow=event.workflow,
        type=event.type,
        ts=event.ts,
        iteration=event.iteration,
        interaction=event.interaction,
        action=event.action,
        agent=event.agent,
        n=event.n,
        data=_data.decode(event.data),
        extra=event.extra or msgspec.UNSET,
    )


def event_of(event: Parsed) -> Event:
    """Put together again, without its place in its run (`n`)."""
    return Event(
        id=event.id,
        seq=event.seq,
        pid=event.pid,
        run=event.run,
        workflow=event.workflow,
        type=event.type,
        ts=event.ts,
        iteration=event.iteration,
        interaction=event.interaction,
        action=event.action,
        agent=event.agent,
        data=msgspec.Raw(_encode(event.data)) if event.data else _EMPTY,
        extra=event.extra or {},
    )


def stamp(event: Parsed) -> Stamp:
    return (event.ts, event.pid, event.seq, event.id)


def in_order(events: list[Parsed]) -> list[Parsed]:
    """Sorted by stamp. Events nearly always come in order, and then it costs next to nothing to see."""
    times = [event.ts for event in events]
    if all(map(str.__lt__, times, times[1:])):
        return events
    return sorted(events, key=stamp)


def distinct(events: list[Parsed]) -> list[Parsed]:
    """Each id once; of two versions of one event the one that `Document.fold` keeps."""
    if len({event.id for event in events}) == len(events):
        return events
    kept: dict[str, Parsed] = {}
    for event in events:
        present = kept.get(event.id)
        if present is None or encode(event_of(event)) > encode(event_of(present)):
            kept[event.id] = event
    return list(kept.values())


def received(events: Iterable[Parsed]) -> dict[str, Intervals]:
    """Per producer, the `n` of its events; as `Document.received`."""
    numbers: dict[str, list[int]] = {}
    for event in events:
        if event.n >= 0:
            if (known := numbers.get(event.pid)) is None:
                known = numbers[event.pid] = []
            known.append(event.n)
    return {pid: Intervals.of(found) for pid, found in numbers.items()}
