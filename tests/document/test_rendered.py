import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.document import Document, collect, join
from tailrace.document.rendered import Rendered, read
from tailrace.document.restore import restore
from tailrace.document.summary import prepare
from tailrace.document.view import render
from tailrace.errors import DecodeError
from tailrace.event import types
from tests.document.making import ACT, ITERATION, RUN, TURN, Story
from tests.document.strategies import runs


def whole():
    story = Story().tell(types.RUN_START, {"tags": ["beta"]}).tell(types.ITERATION_START, iteration=ITERATION)
    place = {"iteration": ITERATION, "interaction": TURN, "agent": "planner"}
    story.tell(types.INTERACTION_START, {"agent_name": "planner", "input_data": "q"}, **place)
    story.tell(types.ACTION_START, {"action_name": "a"}, **place, action=ACT)
    story.tell(types.ACTION_END, {"tokens": 3, "cost": 0.5}, **place, action=ACT)
    story.tell(types.ACTION, {"action_name": "b", "fields": {"n": 7}}, **place).tell(types.INTERACTION_END, **place)
    story.tell(types.LOG, {"message": "m"}).tell(types.RUN_END, {"final_status": "completed"})
    return story.tell(types.RUN_SAMPLED, {"rate": 0.1, "reason": "rate", "weight": 10.0}, pid="sampler", n=-1).document


def twice_decided():
    """A kept run that was dropped first."""
    story = Story().tell(types.RUN_DROPPED, {"rate": 0.1, "reason": "rate"}, pid="other", n=-1)
    return join(whole(), story.document)


@settings(deadline=None)
@given(runs)
def test_what_is_read_of_a_rendering_is_the_document_and_is_stored_as_it_would_be(events):
    document = collect(events).get(RUN, Document(RUN))
    assert read(render(document)) == restore(render(document))
    assert prepare(read(render(document))) == prepare(document)


def stub():
    return Story().tell(types.RUN_DROPPED, {"rate": 0.1, "reason": "rate", "state": "complete", "counts": {}}).document


@pytest.mark.parametrize("made", [whole, twice_decided, stub])
def test_a_run_is_not_read_event_by_event_until_it_is_joined(made):
    body = render(made())
    document = read(body)
    assert isinstance(document, Rendered)
    assert document.count == len(made().events)
    assert prepare(document).body is body
    assert render(join(document, made())) == body


def test_what_is_folded_into_it_is_in_what_is_stored():
    (late,) = Story().tell(types.LOG, {"message": "late"}, pid="q").events
    document, expected = read(render(whole())), whole()
    document.fold(late)
    expected.fold(late)
    assert prepare(document) == prepare(expected)


JUNK = [None, 1, -1.5, "", "p-0", "p-x", [], {}, [1], {"id": 1}, {"event": "p-1"}, [{"event": "p-1", "timestamp": 3}]]


def places(value, path=()):
    """Where in a JSON value there is something to replace."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*path, key))


def changed(value, path, junk):
    if not path:
        return junk
    copy = value.copy()
    copy[path[0]] = changed(value[path[0]], path[1:], junk)
    return copy


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_rendering_that_was_tampered_with_is_refused_at_once_or_can_be_read(data):
    value = msgspec.json.decode(render(data.draw(st.sampled_from([whole, twice_decided, stub]))()))
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from([path for path in places(value) if path]))
        value = changed(value, path, data.draw(st.sampled_from(JUNK)))
    body = msgspec.json.encode(value)
    try:
        document = read(body)
    except DecodeError:
        with pytest.raises(DecodeError):
            restore(body)
    else:
        assert document == restore(body)
        prepare(document)


def test_a_long_runs_header_is_never_stored_as_a_document():
    header = b'{"pages":[],' + render(whole())[1:]
    assert not isinstance(read(header), Rendered)
