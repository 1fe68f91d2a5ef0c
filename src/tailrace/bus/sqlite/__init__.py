"""The bus on one SQLite file, shared by any number of processes of one machine: `sqlite:///path`.

One publish is one transaction, durable when it returns. Readers look at the file's change counter, at most 50 times a
second. A group has one active member, the holder of a lock beside the file that the kernel frees when its process
ends in any way; further members stand by.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tailrace.bus import Partition, Record, Start, TopicInfo
from tailrace.bus.sqlite import records as table
from tailrace.bus.sqlite.subscription import SQLiteSubscription
from tailrace.config import Config, TopicSettings
from tailrace.errors import BusError
from tailrace.sqlite import Database, path_of

if TYPE_CHECKING:
    from tailrace.bus import Bus

T = TypeVar("T")

_RETENTION_EVERY = 3600.0
_RETENTION_SLICE = 64
"""Chunks removed in one transaction: some milliseconds, so that retention never holds up other processes."""

_FINAL = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_TOOBIG}


def open_bus(config: Config) -> SQLiteBus:
    return SQLiteBus(path_of(config.bus_url), config.topics)


class SQLiteBus:
    """See `tailrace.bus.Bus`."""

    def __init__(self, path: Path, settings: TopicSettings) -> None:
        self._database = Database(path, table.SCHEMA, table.check)
        self._partitions = settings.partitions or 1
        self._retention = settings.retention_hours * 3600
        self._retain_at = 0.0
        """When retention is looked after next, by the monotonic clock."""
        self.writes = 0
        """Transactions begun through this bus: the file's change counter leaves those of its own connection out."""

    @property
    def path(self) -> Path:
        return self._database.path

    async def publish(self, records: Sequence[Record]) -> None:
        if records:
            with self._taking_later():
                await self.write(lambda connection: table.append(connection, records, self._partitions, time.time()))
        await self._retain()

    @asynccontextmanager
    async def subscribe(
        self, *topics: str, group: str | None = None, start: Start = "earliest"
    ) -> AsyncIterator[SQLiteSubscription]:
        starting: dict[Partition, int] = {}
        if start != "earliest":
            starting = await self.read(lambda connection: table.starting_at(connection, start, topics))
        if group is not None and starting:
            await self.write(
                lambda connection: table.commit(connection, group, starting | table.committed(connection, group))
            )
        with SQLiteSubscription(self, topics, group, starting) as subscription:
            yield subscription

    async def create_topics(self, names: Collection[str]) -> None:
        await self.write(lambda connection: table.create(connection, names, self._partitions))

    async def topics(self, prefix: str = "") -> list[TopicInfo]:
        with self._taking_later():
            return await self.read(lambda connection: table.topics(connection, prefix))

    async def lag(self, *topics: str, group: str) -> dict[Partition, int]:
        return await self.read(lambda connection: table.lag(connection, topics, group))

    async def aclose(self) -> None:
        await self._database.aclose()

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `Database.read`, with its errors as `BusError`."""
        with self.errors():
            return await self._database.read(work)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `Database.write`, with its errors as `BusError`."""

        def counted(connection: sqlite3.Connection) -> T:
            self.writes += 1
            return work(connection)

        with self.errors():
            return await self._database.write(counted)

    async def _retain(self) -> None:
        """At most hourly remove what is too old: one slice with each publish until none is left."""
        if time.monotonic() < self._retain_at:
            return
        before = time.time() - self._retention
        if await self.write(lambda connection: table.remove_before(connection, before, _RETENTION_SLICE)):
            self._retain_at = time.monotonic() + _RETENTION_EVERY

    @contextmanager
    def _taking_later(self) -> Iterator[None]:
        """A file of an older layout is no fault of the records: they wait for another file, and are not put aside.

        Around what a publisher calls first; readers are told at once and for good.
        """
        try:
            yield
        except table.OldLayoutError as error:
            raise BusError(str(error), retryable=True) from error

    @contextmanager
    def errors(self) -> Iterator[None]:
        """What SQLite and the file system raise, as `BusError`."""
        try:
            yield
        except table.OldLayoutError as error:
            raise table.OldLayoutError(f"the SQLite bus {self.path}: {error}") from error
        except sqlite3.Error as error:
            final = (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _FINAL  # the low byte: the rest is detail
            raise BusError(f"the SQLite bus {self.path}: {error}", retryable=not final) from error
        except OSError as error:
            raise BusError(f"the SQLite bus {self.path}: {error}", retryable=True) from error


if TYPE_CHECKING:
    _bus: type[Bus] = SQLiteBus
