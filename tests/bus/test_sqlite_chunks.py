"""Chunks of the SQLite bus: their bounds, and that nothing of them shows to a reader."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from tailrace.bus import UNBOUNDED, Partition, Received, Record
from tailrace.bus.sqlite import records as table
from tailrace.bus.sqlite.chunk import CHUNK_BYTES, CHUNK_RECORDS, chunks_of, records_in
from tailrace.errors import BusError
from tests.bus.test_sqlite import TOPIC, age_records, count_of_chunks, open_at
from tests.conformance.bus_case import opened, read_to_end, records, values


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bus.db"


def mixed(count: int) -> list[Record]:
    """Records whose key and headers change at different places, some equal without being the same object."""
    return [
        Record(TOPIC, b"run-%d" % (n // 7 % 3), b"%d" % n, (("at", b"%d" % (n // 5)),) if n % 4 else ())
        for n in range(count)
    ]


@pytest.mark.parametrize(
    "published", [mixed(2000), [Record(TOPIC, b"k", bytes(50_000))] * 7, [Record(TOPIC, b"", b"")]]
)
def test_chunks_hold_all_records_in_order(published: list[Record]):
    received = []
    for count, chunk in chunks_of(published):
        fresh = records_in(chunk, Partition(TOPIC, 0), 100 + len(received), 5.0)
        assert len(fresh) == count
        received += fresh
    assert [(r.key, r.value, r.headers) for r in received] == [(r.key, r.value, r.headers) for r in published]
    assert [r.offset for r in received] == list(range(100, 100 + len(published)))
    assert {(r.topic, r.partition, r.timestamp) for r in received} == {(TOPIC, 0, 5.0)}


def test_a_chunk_ends_at_its_bytes_or_its_count():
    quarter = Record(TOPIC, b"", bytes(CHUNK_BYTES // 4))
    large = Record(TOPIC, b"", bytes(CHUNK_BYTES + 1))
    wordy = Record(TOPIC, b"", b"", (("h", bytes(CHUNK_BYTES // 2)),))

    def counts(*published: Record) -> list[int]:
        return [count for count, _ in chunks_of(published)]

    assert counts(*[quarter] * 9) == [4, 4, 1]
    assert counts(quarter, large, quarter, quarter) == [1, 1, 2]
    assert counts(wordy, quarter, wordy, quarter) == [2, 2]
    assert counts(*records(TOPIC, CHUNK_RECORDS + 1)) == [CHUNK_RECORDS, 1]
    assert counts() == []


def test_records_of_one_place_state_key_and_headers_once():
    headers = (("traceparent", b"x" * 55),)
    ((_, chunk),) = chunks_of([Record(TOPIC, b"k" * 32, b"v", headers)] * 100)
    assert len(chunk) < 100 * 5


def test_a_chunk_that_ends_at_a_change_of_key_states_nothing_of_the_next_one():
    first, second = (Record(TOPIC, key, bytes(CHUNK_BYTES // 2 - 1)) for key in (b"a", b"b"))
    (_, chunk), _ = chunks_of([first, first, second])
    assert [(2, chunk)] == list(chunks_of([first, first]))


@pytest.mark.anyio
@pytest.mark.parametrize("limit", [1, 3, 7, 10, 11, 500])
async def test_reading_from_any_offset_with_any_limit_gives_what_follows(path: Path, limit: int):
    async with opened(open_at(path)) as bus:
        for first in range(0, 30, 10):
            await bus.publish(records(TOPIC, 10, first=first))
        for start in range(31):
            group = f"g{start}"
            async with bus.subscribe(TOPIC, group=group) as subscription:
                await subscription.receive(max_records=1)
                await subscription.commit({Partition(TOPIC, 0): start})
            received = []
            async with bus.subscribe(TOPIC, group=group) as subscription:
                while batch := (await subscription.receive(max_records=limit, wait=0)).records:
                    assert len(batch) == min(limit, 30 - start - len(received))
                    received += batch
            assert [(record.offset, int(record.value)) for record in received] == [(n, n) for n in range(start, 30)]
            assert await bus.lag(TOPIC, group=group) == {Partition(TOPIC, 0): 30 - start}


@pytest.mark.anyio
async def test_a_reader_inside_a_chunk_gets_what_is_published_meanwhile(path: Path):
    async with opened(open_at(path)) as bus, bus.subscribe(TOPIC) as subscription:
        await bus.publish(records(TOPIC, 5))
        received = list((await subscription.receive(max_records=3)).records)
        await bus.publish(records(TOPIC, 5, first=5))
        received += (await subscription.receive(max_records=3)).records
        received += await read_to_end(subscription)
    assert values(received) == list(range(10))


def test_a_reader_that_was_cancelled_inside_a_later_chunk_reads_again_from_where_it_stood():
    decoded: dict[Partition, list[Received]] = {}
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(table.SCHEMA)
        for first in (0, 10):
            table.append(connection, records(TOPIC, 10, first=first), 1, 5.0)
        given, _ = table.fetch(connection, [TOPIC], {}, (15, UNBOUNDED), decoded)
        again, _ = table.fetch(
            connection, [TOPIC], {}, (20, UNBOUNDED), decoded
        )  # the 15 never arrived: no position moved
    assert (values(given), values(again)) == (list(range(15)), list(range(20)))


@pytest.mark.anyio
async def test_retention_leaves_the_offsets_of_what_stays(path: Path):
    async with opened(open_at(path, retention_hours=1)) as bus:
        await bus.publish(records(TOPIC, 700))
    age_records(path, hours=2)
    async with opened(open_at(path)) as bus:
        await bus.publish(records(TOPIC, 10, first=700))
    async with opened(open_at(path, retention_hours=1)) as bus:
        await bus.publish(records("t.other", 1))
        assert count_of_chunks(path) == 2
        assert [(info.name, info.records) for info in await bus.topics(TOPIC)] == [(TOPIC, 10)]
        assert await bus.lag(TOPIC, group="g") == {Partition(TOPIC, 0): 10}
        async with bus.subscribe(TOPIC) as subscription:
            assert [record.offset for record in await read_to_end(subscription)] == list(range(700, 710))


@pytest.mark.anyio
async def test_a_time_starts_at_the_first_record_of_that_time_or_later(path: Path, monkeypatch: pytest.MonkeyPatch):
    sizes = [1, 600, 3, 3, 1, 40]
    async with opened(open_at(path)) as bus:
        for number, size in enumerate(sizes):
            monkeypatch.setattr(time, "time", lambda now=1000.0 + number: now)
            await bus.publish(records(TOPIC, size))
        for number in range(len(sizes) + 1):
            async with bus.subscribe(TOPIC, start=999.5 + number) as subscription:
                found = [record.offset for record in await read_to_end(subscription, wait=0)]
            assert found == list(range(sum(sizes[:number]), sum(sizes)))


@pytest.mark.anyio
async def test_a_file_of_the_older_layout_is_refused_until_it_is_moved_away(path: Path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE records (id INTEGER PRIMARY KEY, time REAL, key BLOB, value BLOB)")
    async with opened(open_at(path)) as bus:
        for call, waits in (
            (lambda: bus.publish(records(TOPIC, 1)), True),
            (bus.topics, True),
            (lambda: bus.create_topics([TOPIC]), False),
            (lambda: bus.lag(TOPIC, group="g"), False),
        ):
            with pytest.raises(BusError, match=r"earlier version.*set `bus` to another file") as raised:
                await call()
            assert (raised.value.retryable, str(path) in str(raised.value)) == (waits, True)
        async with bus.subscribe(TOPIC) as subscription:
            with pytest.raises(BusError, match="earlier version") as raised:
                await subscription.receive(wait=0)
        assert not raised.value.retryable
        await anyio.Path(path).rename(path.with_suffix(".old"))
        await bus.publish(records(TOPIC, 1))
        assert [info.records for info in await bus.topics()] == [1]
