"""A long run in pieces: a header that holds what is said of the run itself, and pages that hold everything else.

Each event has one page, which follows from its id alone: ids are laid out as strings of bits, the producer's hash and
then its count, so that what one producer says in a row stays together. A page is all events whose bits begin alike;
one that weighs more than `PAGE_BYTES` is cut in two by the next bit. Where pages are cut therefore follows from the
set of events, like everything else in a document: no order of joining leads to other pages. A page is a document, and
joining within it is all that an event needs.

What the header says of the whole run (state, counts, tokens, cost) is derived from the digests of its pages. It equals
what the undivided document would say if each node has one start and one end that agree, and no action that has both in
one page turns up in another: so loggers write. The events themselves are kept whatever they are.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache

import msgspec

from tailrace.document import Document, shape
from tailrace.document.rendered import Rendered
from tailrace.document.restore import restore
from tailrace.document.totals import ABSENCE, cost_of, state_of, tokens_of
from tailrace.document.view import Element, render, view
from tailrace.event import Event, encode, stamp, types

PAGE_BYTES = 2 << 20
"""What the events of one page may weigh. A run that weighs less is not divided."""

_OF_THE_RUN = frozenset({types.RUN_START, types.RUN_END, types.DROPPED, *ABSENCE, *shape.DECISIONS})
_BOUND = 500  # what an event weighs beside texts that stand in its document
_STRUCTURE = 200  # what an event's place in the JSON takes at most: keys, brackets, a node that it is the first word of
_SEQ_BITS = 64
_DEPTH = 32 + _SEQ_BITS
_START, _END = 1, 2
_data = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Digest(msgspec.Struct, frozen=True):
    """What a header needs of one page."""

    events: int
    bytes: int
    """What the page weighs."""
    first: str
    """Time of its earliest event, as is `last` of its latest."""
    last: str
    workflow: str
    agents: list[str]
    iterations: list[str]
    """Ids of all that are mentioned, as are `interactions`."""
    interactions: list[str]
    actions: int
    """Those with both halves here, and those logged in one call."""
    halves: list[str]
    """Ids of the actions of which only one half is here."""
    facts: dict[str, int]
    tokens: dict[str, str]
    """Exact sums as fractions, so that adding them up in any order comes to the same."""
    inexact: list[str]
    """Which of `tokens` are not whole numbers by their type."""
    cost: str


class PageInfo(msgspec.Struct, frozen=True):
    """A page as the header lists it, in order of time."""

    id: str
    """The bits that its events' places begin with."""
    events: int
    bytes: int
    first: str
    last: str


class _Listing(msgspec.Struct, frozen=True):
    pages: list[PageInfo]


_HEADER = b'{"pages":['
_listing = msgspec.json.Decoder(_Listing)


def is_header(body: bytes) -> bool:
    """Whether a stored body is a long run's header; a document's JSON begins otherwise."""
    return body.startswith(_HEADER)


def contents(header: bytes) -> list[PageInfo]:
    """The pages that a header lists."""
    return _listing.decode(header).pages


def weight(document: Document) -> int:
    """Bytes that its rendering cannot exceed, and that grow with each event, whatever else is in the document."""
    return sum(len(encode(event)) + _STRUCTURE for event in document.events.values())


def is_long(document: Document, body: bytes) -> bool:
    """Whether a run goes into pages; `body` is the document's rendering."""
    # Each text of an event stands in the body at least once, which spares most runs the weighing.
    count = document.count if isinstance(document, Rendered) else len(document.events)
    if count * (len(body) + _BOUND) <= PAGE_BYTES:
        return False
    return weight(document) > PAGE_BYTES and weight(restore(body)) > PAGE_BYTES


def place(event: Event) -> str:
    """The bits that say in which page an event stands: a function of its id."""
    pid, _, number = event.id.rpartition("-")
    if number.isascii() and number.isdigit() and len(number) < 20:  # noqa: PLR2004 - what 64 bits hold
        return _origin(pid) + f"{int(number):0{_SEQ_BITS}b}"
    return _origin(event.id) + "0" * _SEQ_BITS


@lru_cache(maxsize=4096)
def _origin(pid: str) -> str:
    return f"{int.from_bytes(hashlib.blake2b(pid.encode(errors='replace'), digest_size=4).digest()):032b}"


def divide(document: Document, present: Iterable[str]) -> tuple[Document, dict[str, Document]]:
    """What belongs into the header, and for each page what belongs into it; `present` are the ids of known pages."""
    leaves = sorted(present)
    root = Document(document.run_id)
    parts: dict[str, Document] = {}
    root.received = document.received
    for event in document.events.values():
        if event.type in _OF_THE_RUN:
            root.events[event.id] = event
            continue
        page = _page_of(place(event), leaves)
        part = parts.get(page)
        if part is None:
            part = parts[page] = Document(document.run_id)
        part.events[event.id] = event
    return root, parts


def _page_of(bits: str, leaves: Sequence[str]) -> str:
    """The page of a place. One that does not exist yet begins where its bits part from those of all that do."""
    if not leaves:
        return ""
    at = bisect_right(leaves, bits)
    if at and bits.startswith(leaves[at - 1]):
        return leaves[at - 1]
    return bits[: 1 + max(_shared(bits, leaf) for leaf in leaves[max(at - 1, 0) : at + 1])]


def _shared(one: str, other: str) -> int:
    """How many bits two begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def split(page: str, document: Document) -> dict[str, Document]:
    """The page, or the pages that it is cut into because it weighs too much. An event that does alone has its own."""
    if weight(document) <= PAGE_BYTES:
        return {page: document}
    document = restore(render(document))  # stored forms are weighed: one fact may be written in longer ways
    placed = [(place(event), event) for event in document.events.values()]
    return _cut(page, document, sorted(placed, key=lambda each: each[0]))


def _cut(page: str, document: Document, placed: Sequence[tuple[str, Event]]) -> dict[str, Document]:
    first, last = placed[0][0], placed[-1][0]
    common = first[: _shared(first, last)]
    if len(common) == _DEPTH or weight(document) <= PAGE_BYTES:
        return {page: document}
    found = {}
    for bit in "01":
        inner = [each for each in placed if each[0][len(common)] == bit]
        half = Document(document.run_id)
        half.events = {event.id: event for _, event in inner}
        found.update(_cut(common + bit, half, inner))
    return found


def digest(document: Document) -> Digest:
    """The digest of a page, which holds at least one event."""
    return _Tally(sorted(document.events.values(), key=stamp)).digest(weight(document))


class _Tally:
    """Counts a page's events as `totals` would: an event that no tree has a place for counts as an event only."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events
        self._iterations: set[str] = set()
        self._interactions: set[str] = set()
        self._halves: dict[str, int] = {}
        self._calls = 0
        self._facts = dict.fromkeys(shape.FACTS.values(), 0)
        self._tokens: dict[str, Fraction] = {}
        self._inexact: set[str] = set()
        self._cost = Fraction()
        for event in events:
            if event.seq >= 0 and event.id == f"{event.pid}-{event.seq}":
                self._take(event)

    def _take(self, event: Event) -> None:
        if event.type in shape.FACTS:
            self._facts[shape.FACTS[event.type]] += 1
        elif event.type == types.ACTION:
            self._calls += 1
            self._mention(event)
            self._spend(event)
        elif event.type in (types.ACTION_START, types.ACTION_END) and event.action:
            half = _START if event.type == types.ACTION_START else _END
            self._halves[event.action] = self._halves.get(event.action, 0) | half
            self._mention(event)
            if half == _END:
                self._spend(event)
        elif event.type in (types.INTERACTION_START, types.INTERACTION_END):
            if event.interaction:
                self._mention(event)
        elif event.type in (types.ITERATION_START, types.ITERATION_END) and event.iteration:
            self._iterations.add(event.iteration)

    def _mention(self, event: Event) -> None:
        if event.iteration:
            self._iterations.add(event.iteration)
        if event.interaction:
            self._interactions.add(event.interaction)

    def _spend(self, event: Event) -> None:
        data = _data.decode(event.data)
        for name, number in tokens_of(data.get("tokens")).items():
            self._tokens[name] = self._tokens.get(name, Fraction()) + Fraction(number)
            if isinstance(number, float):
                self._inexact.add(name)
        self._cost += Fraction(cost_of(data.get("cost")))

    def digest(self, weighs: int) -> Digest:
        halves = sorted(name for name, seen in self._halves.items() if seen != _START | _END)
        return Digest(
            events=len(self._events),
            bytes=weighs,
            first=self._events[0].ts,
            last=self._events[-1].ts,
            workflow=self._events[0].workflow,
            agents=sorted({event.agent for event in self._events if event.agent}),
            iterations=sorted(self._iterations),
            interactions=sorted(self._interactions),
            actions=self._calls + len(self._halves) - len(halves),
            halves=halves,
            facts=self._facts,
            tokens={name: str(total) for name, total in sorted(self._tokens.items())},
            inexact=sorted(self._inexact),
            cost=str(self._cost),
        )


def header(root: Document, digests: Mapping[str, Digest]) -> Element:
    """The run's JSON without what stands in its pages, but with their list; `restore` gives `root` back from it."""
    pages = sorted(digests.items(), key=lambda item: (item[1].first, item[0]))
    found = [each for _, each in pages]
    infos = [PageInfo(page, each.events, each.bytes, each.first, each.last) for page, each in pages]
    element: Element = {"pages": infos, **view(root, whole=not found)}
    if not root.events and found:
        element["workflow_name"] = found[0].workflow
    _add_state(element, root, found)
    element["agents"] = sorted({*element["agents"], *(name for each in found for name in each.agents)})
    element["counts"] = _counts(root, found)
    element["tokens"] = _tokens(found)
    element["cost_usd"] = float(sum((Fraction(each.cost) for each in found), Fraction()))
    return element


def _add_state(element: Element, root: Document, found: Sequence[Digest]) -> None:
    events = root.events.values()
    absent = max((event.ts for event in events if event.type in ABSENCE), default=None)
    heard = max(["", *(event.ts for event in events if event.type not in ABSENCE), *(each.last for each in found)])
    element["state"] = state_of(ended="end_event" in element, absent=absent, heard=heard)
    if "end_event" not in element:
        element["final_status"] = shape.ABANDONED if element["state"] == shape.ABANDONED else None


def _counts(root: Document, found: Sequence[Digest]) -> dict[str, int]:
    return {
        "iterations": len({name for each in found for name in each.iterations}),
        "interactions": len({name for each in found for name in each.interactions}),
        "actions": sum(each.actions for each in found) + len({name for each in found for name in each.halves}),
        **{name: sum(each.facts[name] for each in found) for name in shape.FACTS.values()},
        "events": sum(event.type not in shape.DECISIONS for event in root.events.values())
        + sum(each.events for each in found),
    }


def _tokens(found: Sequence[Digest]) -> dict[str, float]:
    totals: dict[str, Fraction] = {}
    for each in found:
        for name, total in each.tokens.items():
            totals[name] = totals.get(name, Fraction()) + Fraction(total)
    inexact = {name for each in found for name in each.inexact}
    return {name: float(total) if name in inexact else int(total) for name, total in sorted(totals.items())}
