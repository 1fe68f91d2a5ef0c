from hypothesis import given
from hypothesis import strategies as st

from tailrace.bus import Received, Record
from tailrace.bus.dead_letters import ADDED, REDRIVEN, DeadLetter, read

names = st.sampled_from([*sorted(ADDED), REDRIVEN, "traceparent", "x"])
headers = st.lists(st.tuples(names, st.binary(max_size=8)), max_size=6).map(tuple)


def arrived(record, offset=0):
    return Received(record.topic, 0, offset, record.key, record.value, record.headers, 1000.0)


@given(st.binary(max_size=20), st.binary(max_size=20), headers)
def test_a_letter_gives_back_its_original_whatever_the_original_was(key, value, given_headers):
    original = Received("t.events.w", 3, 17, key, value, given_headers, 900.0)
    letter = read(arrived(DeadLetter.unreadable(original, "why").record("t.dead", "sample"), offset=5))
    assert (letter.id, letter.stage, letter.dead.error) == ("0:5", "sample", "why")
    assert (letter.dead.topic, letter.dead.partition, letter.dead.offset) == ("t.events.w", 3, 17)
    assert letter.is_whole
    back = letter.original()
    assert (back.topic, back.key, back.value) == ("t.events.w", key, value)
    kept = tuple((name, text) for name, text in given_headers if name not in ADDED and name != REDRIVEN)
    assert back.headers[:-1] == kept
    assert back.headers[-1][0] == REDRIVEN


@given(st.binary(max_size=20), headers)
def test_any_record_can_be_read_as_a_letter(value, given_headers):
    letter = read(arrived(Record("t.dead", b"", value, given_headers)))
    assert letter.size >= len(value)
    assert letter.redriven >= 0


def test_each_redriving_is_counted():
    record = Received("t.events.w", 0, 0, b"k", b"v", (), 0.0)
    for count in range(1, 4):
        letter = read(arrived(DeadLetter.unreadable(record, "why").record("t.dead", "sample")))
        record = arrived(letter.original())
        assert dict(record.headers) == {REDRIVEN: str(count).encode()}


def test_a_letter_without_its_value_tells_its_size():
    record = Received("t.events.w", 0, 0, b"k", b"v" * 50, (("tr-size", b"7"),), 0.0)
    letter = read(arrived(DeadLetter.unreadable(record, "why").stub("t.dead", "sample")))
    assert (letter.size, letter.dead.value, letter.is_whole) == (50, b"", False)
