"""A document that comes as its JSON, and need not be read event by event where it is stored as it came."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from tailrace.document import Document
from tailrace.document.intervals import Intervals
from tailrace.document.parsed import parse
from tailrace.document.restore import restore
from tailrace.errors import DecodeError
from tailrace.event import Event

_Raws = dict[str, msgspec.Raw]


class Rendered(Document):
    """A document known by its JSON; its events are read when they are first asked for.

    What the JSON says beside the events (state, counts, tokens) is believed until it is joined with something else.
    """

    __slots__ = ("_read", "body", "count")

    def __init__(self, run_id: str, body: bytes, count: int) -> None:
        self.run_id = run_id
        self.body: bytes | None = body
        """None once it was changed."""
        self.count = count
        """How many events it holds."""
        self._read: Document | None = None

    def fold(self, event: Event) -> None:
        self._document().fold(event)
        self.body = None

    def _document(self) -> Document:
        if self._read is None:
            self._read = restore(self.body or b"")
        return self._read

    @property
    def events(self) -> dict[str, Event]:  # type: ignore[override]
        return self._document().events

    @property
    def received(self) -> dict[str, Intervals]:  # type: ignore[override]
        return self._document().received


def read(value: bytes) -> Document:
    """The document whose rendering this is; read at once only if that could fail.

    Raises:
        DecodeError: the bytes are not a rendered document.
    """
    try:
        root = _roots.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return restore(value)
    count = 0
    for id_, time in root.halves():
        if not isinstance(id_, str) or not isinstance(time, str) or not _is_numbered(id_):
            return restore(value)
        count += 1
    if root.other_events or root.pages is not msgspec.UNSET or not all(map(_is_event, root.sampling.decisions)):
        return restore(value)
    return Rendered(root.run_id, value, count + len(root.sampling.decisions))


def _is_event(raw: msgspec.Raw) -> bool:
    try:
        parse(bytes(raw))
    except DecodeError:
        return False
    return True


def _is_numbered(id_: str) -> bool:
    number = id_.rpartition("-")[2]
    return number.isascii() and number.isdigit() and len(number) < 20  # noqa: PLR2004 - what 64 bits hold


# What `restore` relies on, as types: a rendering that has them can be restored. Other forms may be, too.


class _Placed(msgspec.Struct):
    event: str | msgspec.UnsetType = msgspec.UNSET
    iteration: str = ""
    interaction: str = ""
    action: str = ""
    agent: str = ""
    envelope: _Raws = {}
    start_extra: _Raws = {}


class _Halves(_Placed):
    end_event: str | msgspec.UnsetType = msgspec.UNSET
    end_agent: str = ""
    end_envelope: _Raws = {}
    end_extra: _Raws = {}


class _Fact(_Placed):
    timestamp: str | None = None


class _Action(_Halves):
    id: str | msgspec.UnsetType = msgspec.UNSET
    timestamp: str | None = None
    end_time: str | None = None


class _Interaction(_Halves, kw_only=True):
    id: str
    start_time: str | None = None
    end_time: str | None = None
    actions: list[_Action] = []


class _Iteration(_Halves, kw_only=True):
    id: str
    started_at: str | None = None
    ended_at: str | None = None
    interactions: list[_Interaction] = []
    actions: list[_Action] = []


class _Sampling(_Fact):
    decisions: list[msgspec.Raw] = []


class _Integrity(msgspec.Struct):
    producers: dict[str, list[tuple[int, int]]]


class _Root(_Halves, kw_only=True):
    run_id: str
    workflow_name: str
    state: Literal["open", "complete", "abandoned"]
    agents: list[str]
    counts: dict[str, int]
    tokens: dict[str, float]
    cost_usd: float
    integrity: _Integrity
    start_time: str | None = None
    end_time: str | None = None
    iterations: list[_Iteration]
    interactions: list[_Interaction] = []
    actions: list[_Action] = []
    resources: list[_Fact] = []
    errors: list[_Fact] = []
    logs: list[_Fact] = []
    other_events: list[msgspec.Raw] = []
    sampling: _Sampling
    pages: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """Only in the header of a long run, which a store must not mistake this for."""

    def halves(self) -> Iterator[tuple[Any, Any]]:
        """The id and the time of each event in the tree."""
        yield from _both(self, self.start_time, self.end_time)
        for iteration in self.iterations:
            yield from _both(iteration, iteration.started_at, iteration.ended_at)
            yield from _inside(iteration.interactions, iteration.actions)
        yield from _inside(self.interactions, self.actions)
        for fact in (*self.resources, *self.errors, *self.logs):
            yield fact.event, fact.timestamp
        if self.sampling.event is not msgspec.UNSET:
            yield self.sampling.event, self.sampling.timestamp


def _inside(interactions: list[_Interaction], actions: list[_Action]) -> Iterator[tuple[Any, Any]]:
    for interaction in interactions:
        yield from _both(interaction, interaction.start_time, interaction.end_time)
        yield from _inside([], interaction.actions)
    for action in actions:
        if action.id is not msgspec.UNSET:
            yield from _both(action, action.timestamp, action.end_time)
        else:
            yield action.event, action.timestamp


def _both(node: _Halves, start: str | None, end: str | None) -> Iterator[tuple[Any, Any]]:
    if node.event is not msgspec.UNSET:
        yield node.event, start
    if node.end_event is not msgspec.UNSET:
        yield node.end_event, end


_roots = msgspec.json.Decoder(_Root)
