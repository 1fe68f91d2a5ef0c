"""Reading a SQLite bus, alone or as a member of a group."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio

from tailrace.bus import UNBOUNDED, Batch, Partition, Received
from tailrace.bus.sqlite import records as table
from tailrace.bus.topics import slug
from tailrace.errors import ClosedError

if TYPE_CHECKING:
    from tailrace.bus import Subscription
    from tailrace.bus.sqlite import SQLiteBus

_POLL_FROM, _POLL_TO = 0.02, 0.05
"""Seconds between looks at an idle file: the first and the longest."""


class SQLiteSubscription:
    """See `tailrace.bus.Subscription`."""

    def __init__(
        self, bus: SQLiteBus, patterns: Collection[str], group: str | None, starting: Mapping[Partition, int]
    ) -> None:
        self._bus = bus
        self._patterns = patterns
        self._group = group
        self._turn = None if group is None else _Turn(bus.path, group)
        self._positions: dict[Partition, int] | None = dict(starting) if group is None else None
        """Next offset by partition; a partition not in it is read from its first record. None: standing by."""
        self._seen: tuple[int, int] | None = None
        """The file's change counter, and the bus's own, when last there was nothing to read."""
        self._decoded: dict[Partition, list[Received]] = {}
        """See `records.fetch`; touched in the database's thread only."""
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closed = True
        if self._turn is not None:
            self._turn.end()

    @property
    def active(self) -> bool:
        return self._positions is not None

    async def receive(self, *, max_records: int = 500, max_bytes: int = UNBOUNDED, wait: float = 1.0) -> Batch:
        self._check_open()
        deadline = time.monotonic() + wait
        pause = _POLL_FROM
        while True:
            positions = await self._own_positions()
            records = await self._read(positions, max_records, max_bytes) if positions is not None else []
            left = deadline - time.monotonic()
            if records or left <= 0:
                return Batch(records, caught_up=positions is not None and not records)
            await anyio.sleep(min(pause, left))
            pause = min(2 * pause, _POLL_TO)

    async def commit(self, upto: Mapping[Partition, int]) -> None:
        self._check_open()
        group = self._group
        if group is not None and self.active and upto:
            await self._bus.write(lambda connection: table.commit(connection, group, upto))

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the subscription was closed")

    async def _own_positions(self) -> dict[Partition, int] | None:
        """The positions, once it is this member's turn: then they begin at the committed offsets."""
        if self._positions is None and self._turn is not None and self._group is not None:
            with self._bus.errors():
                taken = self._turn.take()
            if taken:
                group = self._group
                self._positions = await self._bus.read(lambda connection: table.committed(connection, group))
        return self._positions

    async def _read(self, positions: dict[Partition, int], limit: int, room: int) -> list[Received]:
        seen = self._seen

        def read(connection: sqlite3.Connection) -> tuple[tuple[int, int], list[Received], dict[Partition, int]]:
            now = (connection.execute("PRAGMA data_version").fetchone()[0], self._bus.writes)
            if now == seen:
                return now, [], {}
            return now, *table.fetch(connection, self._patterns, positions, (limit, room), self._decoded)

        now, records, reached = await self._bus.read(read)
        self._seen = None if records else now
        positions.update(reached)
        return records


class _Turn:
    """The right to read for a group: a lock on a file beside the database, freed by the kernel on any death.

    A forked child of the holder shares it, as it does every open file, until both have ended.
    """

    def __init__(self, database: Path, group: str) -> None:
        self._path = database.with_name(f"{database.name}.{slug(group)}.lock")
        self._file: int | None = None

    def take(self) -> bool:
        """Whether it is this member's turn. Never waits."""
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def end(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


if TYPE_CHECKING:
    _subscription: type[Subscription] = SQLiteSubscription
