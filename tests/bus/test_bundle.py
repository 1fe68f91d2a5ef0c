"""Bundles are the records they were made of, however they are read."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.bus import Received, Record
from tailrace.bus.bundle import Bundle, Bundled, bundled, by_partition, by_topic, extend
from tailrace.bus.topics import partition_of

headers = st.lists(st.tuples(st.sampled_from("ab"), st.binary(max_size=1)), max_size=1).map(tuple)
made = st.lists(
    st.builds(Record, st.sampled_from(["t", "u"]), st.sampled_from([b"k", b"l"]), st.binary(max_size=3), headers),
    max_size=12,
)
places = st.none() | st.integers(-14, 14)


@given(made)
def test_the_records_come_back_in_order_and_those_alike_share_a_bundle(records):
    found = bundled(iter(records))
    assert (list(found), len(found)) == (records, len(records))
    shared = [(each.topic, each.key, each.headers) for each in found.bundles]
    assert all(left != right for left, right in itertools.pairwise(shared))
    assert bundled(found) is found


@given(made, places, places, st.none() | st.integers(-3, 3).filter(bool))
def test_a_slice_is_that_of_the_records(records, start, stop, step):
    assert list(bundled(records)[start:stop:step]) == records[start:stop:step]


@given(made)
def test_every_index_gives_its_record_and_one_beyond_is_an_error(records):
    found = bundled(records)
    assert [found[index] for index in range(-len(records), len(records))] == records * 2
    for beyond in (len(records), -len(records) - 1):
        with pytest.raises(IndexError):
            found[beyond]


@given(made)
def test_moved_records_differ_in_their_topic_alone(records):
    moved = bundled(records).moved("elsewhere")
    assert list(moved) == [Record("elsewhere", each.key, each.value, each.headers) for each in records]


def test_bundles_without_values_hold_no_records():
    found = Bundled([Bundle("t", b"k", (), []), Bundle("t", b"k", (), [b"v"]), Bundle("t", b"k", (), [])])
    assert list(found) == [found[0]] == [found[-1]] == [Record("t", b"k", b"v")]


@given(made, st.integers(1, 3))
def test_by_topic_and_partition_each_record_is_where_it_belongs_and_in_order(records, partitions):
    apart = {
        (topic, number): list(own)
        for topic, together in by_topic(records).items()
        for number, own in by_partition(together, partitions).items()
    }
    expected = {}
    for record in records:
        expected.setdefault((record.topic, partition_of(record.key, partitions)), []).append(record)
    assert apart == expected


@given(st.lists(st.tuples(st.sampled_from(["t", "u"]), made), max_size=4))
def test_what_was_read_adds_to_bundles_and_those_alike_share_one(parts):
    bundles, expected = [], []
    for topic, records in parts:
        read = [Received("read", 0, 0, each.key, each.value, each.headers, 0.0) for each in records]
        extend(bundles, read, topic)
        expected += [Record(topic, each.key, each.value, each.headers) for each in records]
    assert list(Bundled(bundles)) == expected
    shared = [(each.topic, each.key, each.headers) for each in bundles]
    assert all(left != right for left, right in itertools.pairwise(shared))


@given(st.lists(made, max_size=4))
def test_bundles_among_records_stay_as_they_are(parts):
    among = [item for records in parts for item in (*records, *bundled(records).bundles)]
    before = [list(item.values) for item in among if isinstance(item, Bundle)]
    assert list(bundled(among)) == [record for records in parts for record in records * 2]
    assert [list(item.values) for item in among if isinstance(item, Bundle)] == before
