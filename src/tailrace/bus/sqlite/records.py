"""The tables of the SQLite bus and the statements on them. Every function runs inside one transaction.

A record's id is its partition's id and its offset in one integer, so that the records of a partition lie together in
the file and need no second index. Offsets have no gaps and are never used again: a partition keeps its end (the next
offset) when retention removes records, which it does from the front only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from tailrace.bus import Headers, Partition, Received, Record, Start, TopicInfo, matches
from tailrace.bus.topics import partition_of

SCHEMA = """
CREATE TABLE IF NOT EXISTS topics (name TEXT PRIMARY KEY, partitions INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS partitions (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, number INTEGER NOT NULL,
    "end" INTEGER NOT NULL DEFAULT 0, latest REAL NOT NULL DEFAULT 0, UNIQUE (topic, number)
);
CREATE TABLE IF NOT EXISTS records (
    id INTEGER PRIMARY KEY, time REAL NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, headers BLOB
);
CREATE TABLE IF NOT EXISTS committed (
    consumers TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL, PRIMARY KEY (consumers, partition)
) WITHOUT ROWID;
"""

_OFFSET_BITS = 40
_OFFSET = (1 << _OFFSET_BITS) - 1

_encode_headers = msgspec.msgpack.Encoder().encode
_decode_headers = msgspec.msgpack.Decoder(Headers).decode


class Row(NamedTuple):
    """A partition as its row says."""

    id: int
    partition: Partition
    end: int
    latest: float
    """Time of the last record; a record is never older than the one before it, whatever the clock does."""

    def record(self, offset: int) -> int:
        return self.id << _OFFSET_BITS | offset


def create(connection: sqlite3.Connection, names: Collection[str], partitions: int) -> None:
    for name in names:
        new = connection.execute("INSERT OR IGNORE INTO topics VALUES (?, ?)", (name, partitions)).rowcount
        if new:
            connection.executemany(
                "INSERT INTO partitions (topic, number) VALUES (?, ?)", [(name, number) for number in range(partitions)]
            )


def append(connection: sqlite3.Connection, records: Sequence[Record], partitions: int, now: float) -> None:
    topics = {record.topic for record in records}
    create(connection, topics, partitions)
    rows = {row.partition: row for row in _rows(connection, topics)}
    counts = {topic: sum(partition.topic == topic for partition in rows) for topic in topics}
    ends = {partition: row.end for partition, row in rows.items()}
    inserted = []
    for record in records:
        partition = Partition(record.topic, partition_of(record.key, counts[record.topic]))
        row = rows[partition]
        headers = _encode_headers(record.headers) if record.headers else None
        inserted.append((row.record(ends[partition]), max(now, row.latest), record.key, record.value, headers))
        ends[partition] += 1
    connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?)", inserted)
    connection.executemany(
        'UPDATE partitions SET "end" = ?, latest = max(latest, ?) WHERE id = ?',
        [(ends[row.partition], now, row.id) for row in rows.values() if ends[row.partition] > row.end],
    )


def fetch(
    connection: sqlite3.Connection, patterns: Collection[str], positions: Mapping[Partition, int], limit: int
) -> tuple[list[Received], dict[Partition, int]]:
    """At most `limit` records from the positions on (absent: from the first record), and the positions after them."""
    records: list[Received] = []
    reached: dict[Partition, int] = {}
    rows = [row for row in _rows(connection, patterns) if row.end > positions.get(row.partition, 0)]
    for place, row in enumerate(rows):
        # A busy partition leaves room for each of those after it.
        share = max(1, (limit - len(records)) // (len(rows) - place))
        fresh = list(_read(connection, row, positions.get(row.partition, 0), min(share, limit - len(records))))
        records += fresh
        if fresh:
            reached[row.partition] = fresh[-1].offset + 1
    return records, reached


def _read(connection: sqlite3.Connection, row: Row, start: int, limit: int) -> Iterator[Received]:
    found = connection.execute(
        "SELECT id, time, key, value, headers FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (row.record(start), row.record(row.end), limit),
    )
    for id_, time, key, value, headers in found:
        decoded = _decode_headers(headers) if headers else ()
        yield Received(*row.partition, id_ & _OFFSET, key, value, decoded, time)


def starting_at(connection: sqlite3.Connection, start: Start, patterns: Collection[str]) -> dict[Partition, int]:
    """The first offset to read, of those partitions that are not read from their first record."""
    if start == "earliest":
        return {}
    rows = _rows(connection, patterns)
    if start == "latest":
        return {row.partition: row.end for row in rows}
    return {row.partition: _offset_at(connection, row, start) for row in rows}


def commit(connection: sqlite3.Connection, group: str, upto: Mapping[Partition, int]) -> None:
    rows = _rows(connection, {partition.topic for partition in upto})
    connection.executemany(
        "INSERT OR REPLACE INTO committed VALUES (?, ?, ?)",
        [(group, row.id, upto[row.partition]) for row in rows if row.partition in upto],
    )


def committed(connection: sqlite3.Connection, group: str) -> dict[Partition, int]:
    found = connection.execute(
        'SELECT topic, number, "offset" FROM committed JOIN partitions ON id = partition WHERE consumers = ?', (group,)
    )
    return {Partition(topic, number): offset for topic, number, offset in found}


def lag(connection: sqlite3.Connection, patterns: Collection[str], group: str) -> dict[Partition, int]:
    done = committed(connection, group)
    return {
        row.partition: row.end - max(_begin(connection, row), done.get(row.partition, 0))
        for row in _rows(connection, patterns)
    }


def topics(connection: sqlite3.Connection, prefix: str) -> list[TopicInfo]:
    held: dict[str, list[int]] = {}
    for row in _rows(connection, [f"{prefix}*"]):
        held.setdefault(row.partition.topic, []).append(row.end - _begin(connection, row))
    return [TopicInfo(name, len(counts), sum(counts)) for name, counts in sorted(held.items())]


def remove_before(connection: sqlite3.Connection, time: float, limit: int) -> bool:
    """Remove at most `limit` records older than that; false if more are left."""
    for row in _rows(connection, ["*"]):
        begin = _begin(connection, row)
        end = _offset_at(connection, row, time)
        removed = connection.execute(
            "DELETE FROM records WHERE id >= ? AND id < ?", (row.record(begin), row.record(min(end, begin + limit)))
        ).rowcount
        limit -= removed
        if begin + removed < end:
            return False
    return True


def _rows(connection: sqlite3.Connection, patterns: Collection[str]) -> list[Row]:
    found = connection.execute('SELECT id, topic, number, "end", latest FROM partitions ORDER BY id')
    return [
        Row(id_, Partition(topic, number), *rest) for id_, topic, number, *rest in found if matches(topic, patterns)
    ]


def _begin(connection: sqlite3.Connection, row: Row) -> int:
    """The offset of the first record that is still there; the end if there is none."""
    found = connection.execute(
        "SELECT id FROM records WHERE id >= ? AND id < ? ORDER BY id LIMIT 1", (row.record(0), row.record(row.end))
    ).fetchone()
    return found[0] & _OFFSET if found else row.end


def _offset_at(connection: sqlite3.Connection, row: Row, time: float) -> int:
    """The offset of the first record of that time or later, by bisection: times never fall within a partition."""
    low, high = _begin(connection, row), row.end
    while low < high:
        middle = (low + high) // 2
        (found,) = connection.execute("SELECT time FROM records WHERE id = ?", (row.record(middle),)).fetchone()
        low, high = (middle + 1, high) if found < time else (low, middle)
    return low
