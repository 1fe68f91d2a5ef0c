"""A workflow document is the join of its run's events.

`of(event)` is a document of one event, `join` puts two together. Join is associative, commutative and idempotent
(tests/document/test_laws.py), because a document is two sets: its events by id, and the numbers received from each
producer. So documents may be split, sent twice, reordered and sent in part, and still come to the same thing.

`view.render` turns a document into the JSON that people read (design: seed's names), and `view.restore` gets the
document back from it: the JSON carries every event, each once.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tailrace.document.intervals import Intervals
from tailrace.event import Event, encode


class Document:
    """The events of one run, as far as they are known. `fold` changes it; everything else leaves it alone.

    Not thread-safe.
    """

    __slots__ = ("events", "received", "run_id")

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.events: dict[str, Event] = {}
        self.received: dict[str, Intervals] = {}
        """Per producer, the `n` of its events."""

    def fold(self, event: Event) -> None:
        """Add one event of this run."""
        if event.n >= 0:
            self.received.setdefault(event.pid, Intervals()).add(event.n)
            event = msgspec.structs.replace(event, n=-1)
        _put(self.events, event)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Document)
            and self.run_id == other.run_id
            and self.events == other.events
            and self.received == other.received
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Document({self.run_id!r}, {len(self.events)} events)"


class Summary(msgspec.Struct, frozen=True, omit_defaults=False):
    """What lists show of a run; the field names are the document's own (the last two: those of its `sampling`)."""

    run_id: str
    workflow_name: str
    state: str
    """`open`, `complete` or `abandoned`."""
    final_status: str | None
    start_time: str | None
    end_time: str | None
    agents: list[str] = []
    tags: list[str] = []
    session: str | None = None
    counts: dict[str, int] = {}
    tokens: dict[str, float] = {}
    cost_usd: float = 0.0
    weight: float = 1.0
    """For how many runs it stands where only kept runs are added up; 0 for a stub."""
    stub: bool = False
    """The sampler dropped the run, and its document has no events."""


def of(event: Event) -> Document:
    document = Document(event.run)
    document.fold(event)
    return document


def join(a: Document, b: Document) -> Document:
    """A new document with everything that either holds.

    Raises:
        ValueError: the two belong to different runs.
    """
    if a.run_id != b.run_id:
        raise ValueError(f"documents of two runs do not join: {a.run_id} and {b.run_id}")
    joined = Document(a.run_id)
    joined.events = dict(a.events)
    for event in b.events.values():
        _put(joined.events, event)
    for side in (a, b):
        for pid, numbers in side.received.items():
            joined.received[pid] = joined.received.get(pid, Intervals()).union(numbers)
    return joined


def collect(events: Iterable[Event]) -> dict[str, Document]:
    """One document per run of the events."""
    documents: dict[str, Document] = {}
    for event in events:
        document = documents.get(event.run)
        if document is None:
            document = documents[event.run] = Document(event.run)
        document.fold(event)
    return documents


def _put(events: dict[str, Event], event: Event) -> None:
    present = events.get(event.id)
    # An id names one event. Bytes that differ all the same (a broken or hostile producer) must still join alike on
    # every machine, whatever came first.
    if present is None or (present is not event and encode(event) > encode(present)):
        events[event.id] = event
