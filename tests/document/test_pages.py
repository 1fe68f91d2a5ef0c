"""Pages of long runs, on pages so small that a run of a few events is long."""

import random

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tailrace.document import Document, collect, join, pages
from tailrace.document.pages import contents, digest, divide, header, is_header, is_long, place, split, weight
from tailrace.document.restore import restore
from tailrace.document.view import render, view
from tailrace.event import Event, types
from tests.document.making import Story
from tests.document.strategies import runs

RUN = "0190a1b2c3d47000800000000000abcd"
DERIVED = ["state", "final_status", "start_time", "end_time", "agents", "counts", "tokens", "cost_usd", "integrity"]


# Seeded from outside hypothesis: its own generator of randomness costs more than what is tested.
randoms = st.integers(0, 2**32).map(random.Random)
few = settings(deadline=None, max_examples=40)


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch):
    monkeypatch.setattr(pages, "PAGE_BYTES", 2000)


class Pieces:
    """A store of one long run, of the plainest kind."""

    def __init__(self):
        self.root, self.pages = Document(RUN), {}

    def merge(self, document):
        root, parts = divide(document, self.pages)
        self.root = join(self.root, root)
        for page, part in parts.items():
            joined = join(self.pages.pop(page), part) if page in self.pages else part
            self.pages.update(split(page, joined))
        return self

    @property
    def header(self):
        return header(self.root, {page: digest(document) for page, document in self.pages.items()})

    @property
    def whole(self):
        found = self.root
        for document in self.pages.values():
            found = join(found, document)
        return found

    @property
    def rendered(self):
        return {page: render(document) for page, document in self.pages.items()}, msgspec.json.encode(self.header)


@st.composite
def logged(draw):
    """A run as loggers write it: each node with one start and at most one end, from up to three producers.

    Some events are lost, some refer to nodes that have ended, some runs never end, some are given up.
    """
    shuffle = draw(randoms)
    written, told = [], {}

    def tell(type_, data=None, **place):
        pid = shuffle.choice(["p1", "p2", "p-3"])
        seq = told[pid] = told.get(pid, -1) + shuffle.choice([1, 1, 1, 40, 70_000])
        ts = f"2026-01-01T00:{len(written) // 60:02d}:{len(written) % 60:02d}.000000Z"
        raw = msgspec.Raw(msgspec.json.encode(data or {}))
        identity = {"id": f"{pid}-{seq}", "seq": seq, "pid": pid, "run": RUN, "workflow": "w", "type": type_, "ts": ts}
        written.append(Event(**identity, n=len(written), data=raw, **place))

    def node(kind, place, data, inner, ended=None):
        names = {"iteration": "iteration", "interaction": "interaction", "action": "action"}
        here = {**place, names[kind]: f"{shuffle.getrandbits(64):016x}"}
        tell(f"{kind}.start", data, **here)
        inner(here)
        if shuffle.random() < 0.8:
            tell(f"{kind}.end", ended or {"status": "ok"}, **here)
        if shuffle.random() < 0.2:
            inner(here)  # what goes on beside it

    def spent():
        return shuffle.choice([{}, {"tokens": 3}, {"tokens": {"input": 2, "output": 0.5}, "cost": 0.1}, {"cost": 1e-9}])

    def acts(place):
        for _ in range(shuffle.randint(0, 3)):
            if shuffle.random() < 0.5:
                tell(types.ACTION, {"action_name": "a", **spent()}, **place, agent="planner")
            else:
                node("action", place, {"action_name": "b"}, lambda _: None, spent())
        if shuffle.random() < 0.3:
            tell(shuffle.choice([types.LOG, types.ERROR, types.RESOURCE]), {"message": "m"}, **place, agent="critic")

    def turns(place):
        for _ in range(shuffle.randint(0, 3)):
            node("interaction", place, {"agent_name": "planner"}, acts)
        acts(place)

    tell(types.RUN_START, {"verbosity": "INFO", "tags": ["beta"]})
    for number in range(draw(st.integers(0, 3))):
        node("iteration", {}, {"iteration_id": number}, turns)
    turns({})
    tell("some.future.type", {"any": "thing"})
    last = draw(st.sampled_from([types.RUN_END, types.RUN_ABANDONED, types.PRODUCER_LOST, None]))
    if last:
        tell(last, {"final_status": "completed"} if last == types.RUN_END else {"reason": "died"})
    if draw(st.booleans()):
        tell(types.DROPPED, {"reasons": {"spool_full": 2}})
    for decision in draw(st.lists(st.sampled_from([types.RUN_SAMPLED, types.RUN_DROPPED]), max_size=2)):
        tell(decision, {"rate": 0.1, "reason": "rate", "weight": 10.0, "state": "complete", "counts": {"events": 3}})
    lost = draw(st.sampled_from([0.0, 0.0, 0.2]))
    return [event for event in written if shuffle.random() >= lost]


def in_parts(events, shuffle, *, doubled=True):
    """Documents of the events in any cut and order, some of them through the wire."""
    sent = [*events, *(shuffle.choices(events, k=len(events)) if events and doubled else [])]
    shuffle.shuffle(sent)
    while sent:
        size = shuffle.randint(1, 6)
        part = collect(sent[:size])[RUN]
        yield restore(render(part)) if shuffle.random() < 0.5 else part
        sent = sent[size:]


@few
@given(logged(), randoms)
def test_a_header_says_of_a_logged_run_what_its_undivided_document_says(events, shuffle):
    stored = Pieces()
    for part in in_parts(events, shuffle):
        stored.merge(part)
    whole = view(collect(events).get(RUN, Document(RUN)))
    assert {name: stored.header.get(name) for name in DERIVED} == {name: whole.get(name) for name in DERIVED}
    assert stored.header["workflow_name"] == whole["workflow_name"]


def test_a_header_of_a_drop_and_pages_alone_is_no_stub():
    story = Story().tell(types.LOG, {"message": "m"})
    story.tell(types.RUN_DROPPED, {"rate": 0.1, "reason": "rate", "state": "complete", "counts": {"events": 9}}, n=-1)
    whole = view(story.document)
    found = Pieces().merge(story.document).header
    assert {name: found.get(name) for name in DERIVED} == {name: whole.get(name) for name in DERIVED}
    assert found["sampling"] == whole["sampling"]
    assert "stub" not in found["sampling"]


@few
@given(runs, randoms)
def test_pages_and_header_follow_from_the_set_of_events_whatever_its_events_are(events, shuffle):
    one, other = Pieces(), Pieces().merge(restore(render(collect(events).get(RUN, Document(RUN)))))
    for part in in_parts(events, shuffle):
        one.merge(part)
    assert one.rendered == other.rendered
    assert render(one.whole) == render(collect(events).get(RUN, Document(RUN)))


@few
@given(logged() | runs, randoms)
def test_each_event_stands_in_one_piece_and_no_page_outweighs_the_limit(events, shuffle):
    stored = Pieces()
    for part in in_parts(events, shuffle):
        stored.merge(part)
    ids = [*stored.root.events, *(id_ for page in stored.pages.values() for id_ in page.events)]
    assert sorted(ids) == sorted({event.id for event in events})
    for page, document in stored.pages.items():
        assert weight(document) <= pages.PAGE_BYTES or len({place(event) for event in document.events.values()}) == 1
        assert all(place(event).startswith(page) for event in document.events.values())
        assert len(render(document)) <= weight(document) + 500
        assert not any(page != other and other.startswith(page) for other in stored.pages)


@few
@given(logged() | runs)
def test_a_header_is_told_from_a_document_and_gives_its_own_events_back(events):
    stored = Pieces().merge(collect(events).get(RUN, Document(RUN)))
    body = msgspec.json.encode(stored.header)
    assert is_header(body)
    assert not is_header(render(stored.whole))
    assert render(restore(body)) == render(stored.root)
    assert {info.id for info in contents(body)} == stored.pages.keys()
    assert [info.first for info in contents(body)] == sorted(info.first for info in contents(body))


@few
@given(logged() | runs)
def test_whether_a_run_is_long_follows_from_its_stored_form(events):
    document = collect(events).get(RUN, Document(RUN))
    body = render(document)
    assert is_long(document, body) == is_long(restore(body), body) == (weight(restore(body)) > pages.PAGE_BYTES)


@example([f"{n:b}" for n in range(8)])
@given(st.lists(st.text("01", min_size=1, max_size=6)))
def test_a_new_page_begins_where_its_events_part_from_all_known_ones(names):
    leaves = sorted(name for name in set(names) if not any(name != other and name.startswith(other) for other in names))
    for number in range(64):
        bits = f"{number:06b}"
        page = pages._page_of(bits, leaves)
        assert bits.startswith(page)
        assert page in leaves or not any(leaf.startswith(page) or page.startswith(leaf) for leaf in leaves)
        inner = {leaf[:size] for leaf in leaves for size in range(len(leaf))}
        assert page in leaves or page == "" or page[:-1] in inner


def test_an_event_that_outweighs_a_page_has_its_own():
    made = [
        Event(id=f"p-{n}", seq=n, pid="p", run=RUN, workflow="w", type=types.LOG, ts="t", data=data)
        for n, data in enumerate([msgspec.Raw(b"{}"), msgspec.Raw(b'{"m":"%s"}' % (b"x" * 5000)), msgspec.Raw(b"{}")])
    ]
    random.Random(1).shuffle(made)
    assert sorted(len(page.events) for page in Pieces().merge(collect(made)[RUN]).pages.values()) == [1, 1, 1]
