import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.document import Document, collect
from tailrace.document.intervals import Intervals
from tailrace.document.parsed import Head, event_of, head, parse, parsed
from tailrace.document.shape import Places
from tailrace.document.view import render, view_of
from tailrace.errors import DecodeError
from tailrace.event import decode, encode
from tests.document.strategies import RUN, events


@given(st.lists(events(), max_size=14), st.randoms(use_true_random=False))
def test_records_rendered_at_once_are_the_bytes_of_their_document_in_any_order_and_number(found, random):
    sent = [encode(event) for event in found + random.choices(found, k=len(found))] if found else []
    random.shuffle(sent)
    document = collect(map(decode, sent)).get(RUN, Document(RUN))
    assert msgspec.json.encode(view_of(RUN, [parse(value) for value in sent])) == render(document)


@given(events())
def test_a_record_is_parsed_as_its_event_is_and_put_together_again(event):
    assert parse(encode(event)) == parsed(decode(encode(event)))
    assert encode(event_of(parse(encode(event)))) == encode(msgspec.structs.replace(event, n=-1))


@given(events())
def test_the_head_of_a_record_says_what_the_whole_says(event):
    whole = parse(encode(event))
    assert head(encode(event)) == Head(*(getattr(whole, name) for name in Head.__struct_fields__))


@pytest.mark.parametrize("value", [b"", b"{}", b'{"id":"p-0"}', b'{"a":"\xff"}', b'{"a":' * 2_000])
def test_a_record_that_is_no_event_has_no_head(value):
    with pytest.raises(DecodeError):
        head(value)


@pytest.mark.parametrize(
    ("envelope", "extra"),
    [
        ({"newer": 1}, {"newer": b"1"}),
        ({"extra": None}, {"extra": b"null"}),
        ({"extra": {"a": 1}}, {"extra": b'{"a":1}'}),
        ({"extra": {}}, {}),
    ],
)
def test_envelope_fields_of_a_newer_version_are_taken_as_decode_takes_them(envelope, extra):
    fields = {"id": "p-0", "seq": 0, "pid": "p", "run": RUN, "workflow": "w", "type": "log", "ts": "t", **envelope}
    event = parse(msgspec.json.encode(fields))
    assert {name: bytes(raw) for name, raw in (event.extra or {}).items()} == extra
    assert (decode(msgspec.json.encode(fields)).extra or msgspec.UNSET) == event.extra


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{}",
        b"[]",
        b'{"id":"p-0","seq":0,"pid":"p","run":"r","workflow":"w","type":"log","ts":"t","data":[]}',
        b'{"id":"p-0","seq":0,"pid":"p","run":"r","workflow":"w","type":"log","ts":"t","data":{"\\ud800":1}}',
        b'{"id":"p-0","seq":0,"pid":"p","run":"r","workflow":"w","type":"log","ts":"t","data":{"a":"\xff"}}',
        b'{"id":"p-0","seq":0,"pid":"p","run":"r","workflow":"w","type":"log","ts":"t","data":'
        + b'{"a":' * 900
        + b"1"
        + b"}" * 901,
    ],
)
def test_what_is_no_event_is_refused_with_an_error_that_says_so(value):
    with pytest.raises(DecodeError, match="not an event"):
        parse(value)


@given(st.lists(st.integers(0, 12), min_size=1))
def test_numbers_received_come_to_the_same_set_at_once_as_one_by_one(numbers):
    one_by_one = Intervals()
    for number in numbers:
        one_by_one.add(number)
    assert Intervals.of(numbers) == one_by_one


def test_two_numbers_far_apart_take_no_memory_for_those_between():
    assert Intervals.of([0, 2**62]).spans() == [[0, 0], [2**62, 2**62]]


def test_the_places_of_keys_are_remembered_for_a_bounded_number_of_sets_of_bounded_keys():
    places = Places(str.islower)
    for number in range(5_000):
        assert places["B", "a", f"{number}"].inside == ["a"]
    assert len(places) <= 1_000
    assert places["x" * 10_000,].inside == ["x" * 10_000]
    assert ("x" * 10_000,) not in places
