"""An event: one immutable fact about a run, and its form on the wire.

On a topic an event is one JSON object with the fields of `Event`; fields are only ever added, with defaults.
`decode()` keeps envelope fields it does not know in `Event.extra`, and never looks into `data`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tailrace.errors import DecodeError
from tailrace.event.nesting import is_deeper

SCHEMA_VERSION = "1"
"""Value of the `tr-v` header. Raised only when a reader of the old version could misread the new one."""

CONTENT_TYPE = "application/json"


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One fact. `data` is a JSON object whose fields depend on `type` (see `tailrace.event.types`)."""

    id: str
    """`<pid>-<seq>`: unique among all events of all producers."""
    seq: int
    """The producer's own count of its accepted calls, from 0."""
    pid: str
    """The producer incarnation: new for each process start and for each forked child."""
    run: str
    """Run id: Kafka key and W3C trace id (32 hex digits when made by tailrace)."""
    workflow: str
    type: str
    ts: str
    """When it happened by the producer's clock: RFC 3339, UTC, microseconds, `Z`."""
    iteration: str = ""
    interaction: str = ""
    action: str = ""
    """Ids of the nodes it belongs to: 16 hex digits, W3C span ids. A node's own start and end carry its id."""
    agent: str = ""
    """Name of the agent that spoke."""
    n: int = -1
    """Place among the events of its run from this producer, from 0: a hole is a lost event. -1: not counted."""
    data: msgspec.Raw = msgspec.Raw(b"{}")
    extra: dict[str, msgspec.Raw] = {}  # msgspec copies a mutable default for each instance
    """Envelope fields of a newer version. Not a field on the wire: they are written beside the others."""


Stamp = tuple[str, str, int, str]
"""(ts, pid, seq, id): the order of events within a run, and what decides between two writers of one register."""

_FIELDS = frozenset(Event.__struct_fields__) - {"extra"}

MAX_DEPTH = 850
"""Levels of nesting of an event. It stands deeper in a document, of which OpenSearch takes 1,000 levels, and so do
decoders of Python 3.11, less the stack above them."""

_known = msgspec.json.Decoder(Event)
_loose = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encoder = msgspec.json.Encoder()


def stamp(event: Event) -> Stamp:
    return (event.ts, event.pid, event.seq, event.id)


def decode(value: bytes) -> Event:
    """One record's value as an event.

    Raises:
        DecodeError: it is not UTF-8, not a JSON object, lacks a field, or is nested too deeply (`MAX_DEPTH`);
            the message says which.
    """
    check(value)
    try:
        event = _known.decode(value)
        if event.extra or not _is_object(event.data):
            return _decode_loosely(value)
    except msgspec.ValidationError:
        return _decode_loosely(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"not an event: {error}") from error
    return event


def check(value: bytes) -> None:
    """What the decoder does not see of parts that it leaves as they are.

    Raises:
        DecodeError: the value is not UTF-8, or nested too deeply.
    """
    if not value.isascii():
        check_text(value)
    if len(value) > MAX_DEPTH and is_deeper(value, MAX_DEPTH):
        raise DecodeError(f"not an event: it is nested deeper than {MAX_DEPTH} levels")


def check_text(value: bytes) -> None:
    """The cheap half of `check`.

    Raises:
        DecodeError: the value is not UTF-8.
    """
    if not value.isascii():
        try:
            value.decode()
        except UnicodeDecodeError as error:
            raise DecodeError(f"not an event: {error}") from error


def _is_object(raw: msgspec.Raw) -> bool:
    return bytes(memoryview(raw)[:1]) == b"{"


def _decode_loosely(value: bytes) -> Event:
    try:
        fields = _loose.decode(value)
        extra = {name: raw for name, raw in fields.items() if name not in _FIELDS}
        known: dict[str, Any] = {name: raw for name, raw in fields.items() if name in _FIELDS}
        event = _known.decode(_encoder.encode(known))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"not an event: {error}") from error
    if not _is_object(event.data):
        raise DecodeError("not an event: `data` is not an object")
    return msgspec.structs.replace(event, extra=extra)


def encode(event: Event) -> bytes:
    """The event as a record's value; `decode(encode(event)) == event`."""
    if not event.extra:
        return _encoder.encode(event)
    body = _encoder.encode(msgspec.structs.replace(event, extra={}))
    return body[:-1] + b"," + _encoder.encode(event.extra)[1:]
