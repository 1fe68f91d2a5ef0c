"""One SQLite file, one connection, one thread that owns it: shared by the SQLite bus and the SQLite store."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from tailrace.errors import ClosedError, ConfigError
from tailrace.forking import unforked
from tailrace.priority import never_preempt

T = TypeVar("T")
_Job = tuple[str, Callable[[sqlite3.Connection], Any], "Future[Any]"]

_BUSY_SECONDS = 10.0
_TRY_SECONDS = 0.02
"""SQLite's own wait for a lock: short, because a fork waits for it too (see `tailrace.forking`)."""

_random = random.Random()  # noqa: S311 - so that waiting processes do not try in step


def path_of(url: str) -> Path:
    """`sqlite:///relative/file` or `sqlite:////absolute/file`, as SQLAlchemy writes them.

    Raises:
        ConfigError: the URL has another form.
    """
    path = url.removeprefix("sqlite:///")
    if path == url or not path or "?" in path:
        raise ConfigError(f"{url!r} is not a SQLite URL: write sqlite:///relative/path or sqlite:////absolute/path")
    return Path(path)


class Database:
    """Runs functions on a connection in its own thread, one after the other, in the order given.

    A thread of its own rather than an executor: executors refuse work in atexit callbacks, where the publisher still
    ships. Both methods may be called from any asyncio loop. Opens the file, and creates directories (0700) and the
    schema, on first use. Commits are synchronous=FULL: what `write` returned from survives a power cut, as the spool's
    promise needs, since the spool forgets what the bus has taken.
    """

    def __init__(self, path: Path, schema: str, check: Callable[[sqlite3.Connection], object] = lambda _: None) -> None:
        """`check` looks at the file before the schema is made in it, and raises if it cannot be used."""
        self._path = path
        self._schema = schema
        self._check = check
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._lock = threading.Lock()
        """Of the three above, because callers may run in several threads."""

    @property
    def path(self) -> Path:
        return self._path

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The result of `work(connection)`, run as one transaction: durable if it returns, undone if it raises.

        Cancelling the caller does not stop work that has begun.

        Raises:
            ClosedError: `aclose` was called.
            sqlite3.Error: as `work` or the opening of the file raised it; "locked" after 10 s of waiting.
        """
        return await self._submit("BEGIN IMMEDIATE", work)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `write`, for work that only reads: it sees one moment of the file, and no writer waits for it."""
        return await self._submit("BEGIN", work)

    async def _submit(self, begin: str, work: Callable[[sqlite3.Connection], T]) -> T:
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise ClosedError(f"the database {self._path} was closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="tailrace-sqlite", daemon=True)
                self._thread.start()
            self._jobs.put((begin, work, future))
        return await asyncio.wrap_future(future)

    async def aclose(self) -> None:
        """Finish what was given, then close the file. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self._thread is not None:
            done: Future[None] = Future()
            self._jobs.put(("BEGIN", lambda _: None, done))
            self._jobs.put(None)
            with contextlib.suppress(sqlite3.Error, OSError):  # of a file that could not be opened
                await asyncio.wrap_future(done)
            self._thread.join(1.0)

    def _serve(self) -> None:
        never_preempt()
        connection: sqlite3.Connection | None = None
        while (job := self._jobs.get()) is not None:
            begin, work, future = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                connection = connection or _patiently(self._open)
                future.set_result(_patiently(lambda: _transaction(connection, begin, work)))  # noqa: B023 - run at once
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                future.set_exception(error)
        if connection is not None:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._path.exists():
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        connection = sqlite3.connect(self._path, timeout=_TRY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            statements = [statement for statement in self._schema.split(";\n") if statement.strip()]

            def make(connection: sqlite3.Connection) -> None:
                self._check(connection)
                for statement in statements:
                    connection.execute(statement)

            _transaction(connection, "BEGIN IMMEDIATE", make)
        except BaseException:
            connection.close()
            raise
        return connection


def _patiently(attempt: Callable[[], T]) -> T:
    """Tries again while another process holds the write lock; between tries the program may fork."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            with unforked:
                return attempt()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            if time.monotonic() >= deadline:
                raise
        time.sleep(_random.uniform(0.001, 0.02))


def _transaction(connection: sqlite3.Connection, begin: str, work: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute(begin)
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result
