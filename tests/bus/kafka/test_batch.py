"""The batches that are put together here are, byte for byte, those of aiokafka's own builder."""

from __future__ import annotations

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.bus import Record
from tailrace.bus.bundle import Bundle, bundled
from tailrace.bus.kafka import batch as kafka_batch
from tailrace.bus.kafka.batch import even, packed

NOW = 1_700_000_000_000
LIMIT = 900_000

headers = st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=100)), max_size=4).map(tuple)
made = st.builds(Record, st.just("a.topic"), st.binary(max_size=200), st.binary(max_size=9_000), headers)


def built(records: list[Record]) -> bytes:
    """By aiokafka."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, LIMIT)
    for number, record in enumerate(records):
        assert builder.append(number, NOW, record.key, record.value, list(record.headers)) is not None
    return bytes(builder.build())


@given(st.lists(made, min_size=1, max_size=30))
@example([Record("a.topic", b"k", bytes(size)) for size in (0, 63, 64, 8_191, 8_192, 70_000)])
@example([Record("a.topic", b"k", b"")] * 200)
def test_a_batch_is_the_one_that_aiokafka_builds(records: list[Record]):
    batch, end = packed(bundled(records).bundles, (0, 0), LIMIT, NOW)
    assert end == (len(bundled(records).bundles), 0)
    assert bytes(batch._build()) == built(records)
    assert (batch.record_count(), batch.size(), batch.closed()) == (len(records), len(built(records)), True)


@given(st.lists(made, min_size=1, max_size=30), st.integers(200, 30_000))
def test_batches_one_after_the_other_hold_every_record_once_and_none_is_larger_than_the_limit(
    records: list[Record], limit: int
):
    place, read = (0, 0), []
    while len(read) < len(records):
        batch, place = packed(bundled(records).bundles, place, limit, NOW)
        assert batch.record_count() == 1 or batch.size() <= limit
        read += list(DefaultRecordBatch(bytes(batch._build())))
    assert [(each.key, each.value, tuple(each.headers)) for each in read] == [
        (record.key, record.value, record.headers) for record in records
    ]


@given(st.lists(st.integers(0, 200), min_size=1, max_size=8), st.integers(1, 400), st.integers(30_000, 60_000))
@example([100], 400, 30_000)
@example([0, 0, 116], 190, 30_000)
@example([0, 0, 0, 159], 283, 30_000)
def test_even_batches_are_at_most_one_more_than_full_ones_and_none_is_small(each: list[int], times: int, limit: int):
    bundles = bundled([Record("a.topic", b"k", bytes(size)) for size in each * times]).bundles
    assert even(bundles, limit) <= limit
    full, alike = sizes(bundles, limit), sizes(bundles, even(bundles, limit))
    assert len(alike) <= len(full) + 1
    assert min(alike) >= max(alike) / 2


def sizes(bundles: list[Bundle], limit: int) -> list[int]:
    """Of the batches that the records fill."""
    place, found = (0, 0), []
    while place[0] < len(bundles):
        batch, place = packed(bundles, place, limit, NOW)
        found.append(batch.size())
    return found


def test_a_record_larger_than_the_limit_is_a_batch_alone():
    records = [Record("a.topic", b"k", bytes(5_000))] * 2
    batch, end = packed(bundled(records).bundles, (0, 0), 1_000, NOW)
    assert (batch.record_count(), end) == (1, (0, 1))


def test_records_of_equal_bytes_but_other_objects_share_nothing_wrongly():
    records = [Record("a.topic", bytes([number % 2]), b"v", (("h", bytes([number])),)) for number in range(9)]
    assert bytes(packed(bundled(records).bundles, (0, 0), LIMIT, NOW)[0]._build()) == built(records)


def test_headers_that_never_repeat_are_encoded_right_and_not_all_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kafka_batch, "_KEPT_HEADERS", 3)
    records = [Record("a.topic", b"k", b"v", (("h", b"%d" % (number % 7)),)) for number in range(20)]
    assert bytes(packed(bundled(records).bundles, (0, 0), LIMIT, NOW)[0]._build()) == built(records)
    assert len(kafka_batch._headers_of) <= 3
