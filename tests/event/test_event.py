import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.errors import DecodeError
from tailrace.event import Event, decode, encode, stamp

WIRE = (
    b'{"id":"p-0","seq":0,"pid":"p","run":"r","workflow":"w","type":"log",'
    b'"ts":"2026-01-01T00:00:00.000000Z","n":0,"data":{"message":"hello"}}'
)
BUILT = Event(
    id="p-0",
    seq=0,
    pid="p",
    run="r",
    workflow="w",
    type="log",
    ts="2026-01-01T00:00:00.000000Z",
    n=0,
    data=msgspec.Raw(b'{"message":"hello"}'),
)

names = st.text(max_size=20)
leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | names
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=12
)
raws = values.map(lambda value: msgspec.Raw(msgspec.json.encode(value)))
objects = st.dictionaries(names, values, max_size=4).map(lambda value: msgspec.Raw(msgspec.json.encode(value)))
newer = names.filter(lambda name: name not in Event.__struct_fields__)
events = st.builds(
    Event,
    **dict.fromkeys(
        ("id", "pid", "run", "workflow", "type", "ts", "iteration", "interaction", "action", "agent"), names
    ),
    seq=st.integers(-(2**63), 2**63 - 1),
    n=st.integers(-1, 2**63 - 1),
    data=objects,
    extra=st.dictionaries(newer, raws, max_size=3),
)


@given(events)
def test_an_event_comes_back_from_the_wire_as_it_was(event):
    assert decode(encode(event)) == event
    assert encode(decode(encode(event))) == encode(event)


def test_an_event_is_one_json_object_without_the_fields_at_their_default():
    assert encode(BUILT) == WIRE
    assert decode(WIRE) == BUILT
    assert msgspec.json.decode(encode(msgspec.structs.replace(BUILT, n=-1))).keys().isdisjoint({"n", "agent", "extra"})


def test_fields_of_a_newer_version_are_carried_along():
    value = WIRE[:-1] + b',"tenant":{"id":[1,2.50]},"hop":3}'
    event = decode(value)
    assert {name: bytes(raw) for name, raw in event.extra.items()} == {"tenant": b'{"id":[1,2.50]}', "hop": b"3"}
    assert encode(event) == value


def test_a_newer_field_may_even_be_named_as_the_one_that_keeps_them():
    event = decode(WIRE[:-1] + b',"extra":{"a":1},"b":2}')
    assert {name: bytes(raw) for name, raw in event.extra.items()} == {"extra": b'{"a":1}', "b": b"2"}
    assert decode(encode(event)) == event


def test_data_is_passed_through_byte_by_byte():
    data = b'{ "a" : 1.50e0,"a":2 , "\\u00e9":"\\/" }'
    event = decode(WIRE.replace(b'{"message":"hello"}', data))
    assert bytes(event.data) == data
    assert data in encode(event)


@pytest.mark.parametrize("field", ["id", "seq", "pid", "run", "workflow", "type", "ts"])
def test_a_field_that_is_missing_is_named(field):
    fields = msgspec.json.decode(WIRE, type=dict[str, msgspec.Raw])
    del fields[field]
    with pytest.raises(DecodeError, match=f"not an event: .*`{field}`"):
        decode(msgspec.json.encode(fields))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b'"p-0"', b"7", r"\$\.id"),
        (b'"seq":0', b'"seq":"0"', r"\$\.seq"),
        (b'"n":0', b'"n":null', r"\$\.n"),
        (b'{"message":"hello"}', b'"hello"', "`data` is not an object"),
        (b'{"message":"hello"}', b"[{}]", "`data` is not an object"),
        (b'{"message":"hello"}', b"null", "`data` is not an object"),
        (b"hello", b"hell\xff", "utf-8"),
        (b"hello", b"\xed\xa0\x80", "utf-8"),
        (b'"w"', b'"\xff"', "utf-8"),
        (b"hello", b"a\nb", "invalid character"),
        (b'"hello"', b"NaN", "invalid"),
        (b"}}", b"}", "truncated"),
        (b"}}", b"}}x", "trailing"),
    ],
)
def test_what_is_no_event_is_refused_with_the_reason(old, new, told):
    assert old in WIRE
    with pytest.raises(DecodeError, match=f"not an event: .*{told}"):
        decode(WIRE.replace(old, new))
    with pytest.raises(DecodeError, match=f"not an event: .*{told}"):
        decode(WIRE.replace(old, new).replace(b'{"id"', b'{"newer":1,"id"'))


@pytest.mark.parametrize(
    "value", [b"", b"null", b"[]", b"{}", b"7", b'"' + WIRE, WIRE[1:], WIRE.decode().encode("utf-16")]
)
def test_other_bytes_are_refused(value):
    with pytest.raises(DecodeError, match="not an event: "):
        decode(value)


@pytest.mark.parametrize("depth", [985, 20_000])
@pytest.mark.parametrize(("open_", "close"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("where", [b'{"message":%s}', b'{},"newer":%s'])
def test_nesting_that_a_document_could_not_hold_is_refused(depth, open_, close, where):
    nested = open_ * depth + b"1" + close * depth
    with pytest.raises(DecodeError, match=r"not an event: .*nested"):
        decode(WIRE.replace(b'{"message":"hello"}', where % nested))


def test_deep_but_readable_nesting_is_taken():
    nested = b"[" * 500 + b"]" * 500
    event = decode(WIRE.replace(b'"hello"', nested))
    assert bytes(event.data) == b'{"message":%s}' % nested


@given(events, st.data())
@example(BUILT, None)
def test_damaged_bytes_give_an_event_or_our_error(event, data):
    value = bytearray(encode(event))
    for _ in range(data.draw(st.integers(1, 4)) if data else 0):
        at = data.draw(st.integers(0, len(value)))
        end = at + data.draw(st.integers(0, 3))
        value[at:end] = data.draw(st.binary(max_size=3) | st.sampled_from([b'"', b"{", b"[", b"]", b"}", b"\\", b","]))
    try:
        found = decode(bytes(value))
    except DecodeError:
        return
    assert decode(encode(found)) == found


@given(events, st.integers(0))
def test_a_cut_event_is_no_event(event, at):
    value = encode(event)
    with pytest.raises(DecodeError):
        decode(value[: at % len(value)])


def test_events_are_ordered_by_time_then_producer_then_count():
    def event(ts, pid, seq):
        return msgspec.structs.replace(BUILT, ts=ts, pid=pid, seq=seq, id=f"{pid}-{seq}")

    ordered = [event("1", "b", 9), event("2", "a", 2), event("2", "a", 10), event("2", "b", 0), event("3", "a", 0)]
    assert sorted([*ordered[2:], *ordered[:2]], key=stamp) == ordered


def test_an_event_does_not_change():
    with pytest.raises(AttributeError):
        BUILT.seq = 1
