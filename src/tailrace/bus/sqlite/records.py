"""The tables of the SQLite bus and the statements on them. Every function runs inside one transaction.

Records stand in chunks (`tailrace.bus.sqlite.chunk`). A chunk's id is its partition's id and its first record's offset
in one integer, so that the chunks of a partition lie together in the file and need no second index. Offsets have no
gaps and are never used again: a partition keeps its end (the next offset) when retention removes chunks, which it does
from the front only.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from tailrace.bus import Partition, Received, Record, Start, TopicInfo, fitting, matches
from tailrace.bus.bundle import Bundled, by_partition, by_topic
from tailrace.bus.sqlite.chunk import chunks_of, records_in
from tailrace.errors import BusError

SCHEMA = """
CREATE TABLE IF NOT EXISTS topics (name TEXT PRIMARY KEY, partitions INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS partitions (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, number INTEGER NOT NULL,
    "end" INTEGER NOT NULL DEFAULT 0, latest REAL NOT NULL DEFAULT 0, UNIQUE (topic, number)
);
CREATE TABLE IF NOT EXISTS chunks (
    id INTEGER PRIMARY KEY, count INTEGER NOT NULL, time REAL NOT NULL, records BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS committed (
    consumers TEXT NOT NULL, partition INTEGER NOT NULL, "offset" INTEGER NOT NULL, PRIMARY KEY (consumers, partition)
) WITHOUT ROWID;
"""

_OFFSET_BITS = 40
_OFFSET = (1 << _OFFSET_BITS) - 1

_Decoded = dict[Partition, list[Received]]
_DECODED = 64
"""Chunks that a reader may keep decoded, of at most 128 KiB each unless a record is larger."""


class OldLayoutError(BusError):
    """The file holds the tables of an earlier version."""

    def __init__(
        self,
        message: str = "written by an earlier version, with a row for each record, which this one does not read: set "
        "`bus` to another file, or move this one away while nothing uses it (a store in the same file goes with it)",
    ) -> None:
        super().__init__(message, retryable=False)


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


def check(connection: sqlite3.Connection) -> None:
    """Raises OldLayoutError."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'records'").fetchone():
        raise OldLayoutError


def append(connection: sqlite3.Connection, records: Sequence[Record], partitions: int, now: float) -> None:
    for topic, together in by_topic(records).items():
        rows = _rows_of(connection, topic)
        if not rows:
            create(connection, [topic], partitions)
            rows = _rows_of(connection, topic)
        for number, own in by_partition(together, len(rows)).items():
            _append(connection, rows[number], own, max(now, rows[number].latest))


def _append(connection: sqlite3.Connection, row: Row, records: Bundled, time: float) -> None:
    def chunks() -> Iterator[tuple[int, int, float, bytes]]:
        offset = row.end
        for count, chunk in chunks_of(records):
            yield row.record(offset), count, time, chunk
            offset += count

    connection.executemany("INSERT INTO chunks VALUES (?, ?, ?, ?)", chunks())
    connection.execute(
        'UPDATE partitions SET "end" = ?, latest = ? WHERE id = ?', (row.end + len(records), time, row.id)
    )


def fetch(
    connection: sqlite3.Connection,
    patterns: Collection[str],
    positions: Mapping[Partition, int],
    limits: tuple[int, int],
    decoded: _Decoded,
) -> tuple[list[Received], dict[Partition, int]]:
    """Records from the positions on (absent: from the first record), and the positions after them.

    `limits`: so many records, and so many bytes of values; a first record that is larger comes alone.

    `decoded` is the reader's own: the chunk that each partition was last read from, where it was not read to its end.
    """
    limit, room = limits
    records: list[Received] = []
    reached: dict[Partition, int] = {}
    rows = [row for row in _rows(connection, patterns) if row.end > positions.get(row.partition, 0)]
    for place, row in enumerate(rows):
        # A busy partition leaves room for each of those after it.
        share = max(1, (limit - len(records)) // (len(rows) - place))
        ask = _Ask(positions.get(row.partition, 0), min(share, limit - len(records)), room // (len(rows) - place))
        fresh = _read(connection, row, ask, decoded, at_least_one=not records)
        room -= sum(len(record.value) for record in fresh)
        records += fresh
        if fresh:
            reached[row.partition] = fresh[-1].offset + 1
    return records, reached


class _Ask(NamedTuple):
    """What is wanted of a partition."""

    start: int
    limit: int
    room: int
    """Bytes of values."""


def _read(
    connection: sqlite3.Connection, row: Row, ask: _Ask, decoded: _Decoded, *, at_least_one: bool
) -> list[Received]:
    found: list[Received] = []
    room = ask.room
    for chunk in _chunks(connection, row, ask.start, decoded) if ask.limit > 0 else ():
        skipped = max(0, ask.start - chunk[0].offset)
        wanted = chunk[skipped : skipped + ask.limit - len(found)]
        fresh = fitting(wanted, room) or (wanted[:1] if at_least_one and not found else [])
        found += fresh
        room -= sum(len(record.value) for record in fresh)
        if len(found) == ask.limit or len(fresh) < len(wanted):
            if found and found[-1] is not chunk[-1] and len(decoded) < _DECODED:
                decoded[row.partition] = chunk
            break
    return found


def _chunks(connection: sqlite3.Connection, row: Row, start: int, decoded: _Decoded) -> Iterator[list[Received]]:
    """The chunks from the one that holds `start`, or from the first one if retention has removed that."""
    kept = decoded.pop(row.partition, None)
    if kept is not None and kept[0].offset <= start <= kept[-1].offset:
        yield kept
        start = kept[-1].offset + 1
        if start == row.end:
            return
    found = connection.execute(
        "SELECT id, time, records FROM chunks WHERE id < ?1 AND id >= "
        "coalesce((SELECT max(id) FROM chunks WHERE id BETWEEN ?2 AND ?3), ?3) ORDER BY id",
        (row.record(row.end), row.record(0), row.record(start)),
    )
    for id_, time, chunk in found:
        yield records_in(chunk, row.partition, id_ & _OFFSET, time)


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
    """Remove at most `limit` chunks older than that; false if more may be left."""
    for row in _rows(connection, ["*"]):
        limit -= connection.execute(
            "DELETE FROM chunks WHERE id IN (SELECT id FROM chunks WHERE id >= ? AND id < ? ORDER BY id LIMIT ?)",
            (row.record(0), row.record(_offset_at(connection, row, time)), limit),
        ).rowcount
        if limit <= 0:
            return False
    return True


def _rows(connection: sqlite3.Connection, patterns: Collection[str]) -> list[Row]:
    found = connection.execute('SELECT id, topic, number, "end", latest FROM partitions ORDER BY id')
    return [
        Row(id_, Partition(topic, number), *rest) for id_, topic, number, *rest in found if matches(topic, patterns)
    ]


def _rows_of(connection: sqlite3.Connection, topic: str) -> list[Row]:
    """The partitions of one topic, by number: a look into the index, where `_rows` reads every topic's."""
    found = connection.execute(
        'SELECT id, number, "end", latest FROM partitions WHERE topic = ? ORDER BY number', (topic,)
    )
    return [Row(id_, Partition(topic, number), *rest) for id_, number, *rest in found.fetchall()]


def _begin(connection: sqlite3.Connection, row: Row) -> int:
    """The offset of the first record that is still there; the end if there is none."""
    found = connection.execute(
        "SELECT id FROM chunks WHERE id >= ? AND id < ? ORDER BY id LIMIT 1", (row.record(0), row.record(row.end))
    ).fetchone()
    return found[0] & _OFFSET if found else row.end


def _offset_at(connection: sqlite3.Connection, row: Row, time: float) -> int:
    """The offset of the first record of that time or later, by bisection: times never fall within a partition."""
    low, high = _begin(connection, row), row.end
    while low < high:
        id_, count, found = connection.execute(
            "SELECT id, count, time FROM chunks WHERE id <= ? ORDER BY id DESC LIMIT 1",
            (row.record((low + high) // 2),),
        ).fetchone()
        first = id_ & _OFFSET  # the records of a chunk have one time
        low, high = (first + count, high) if found < time else (low, first)
    return low
