"""The store in one SQLite file: the default, beside the SQLite bus or alone."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from tailrace.config import Config
from tailrace.document import Document, Summary
from tailrace.document.restore import restore
from tailrace.errors import QueryError, StoreError
from tailrace.sqlite import Database, path_of
from tailrace.store import Page, Query, Rejected, Store
from tailrace.store.entry import (
    MAX_FOUND,
    Entry,
    by_run,
    check_short,
    from_cursor,
    page_size,
    to_cursor,
    wanted_words,
    window,
)
from tailrace.store.pieces import UNUSABLE, LongMerge, merged, rejected, whole

T = TypeVar("T")
_Work = Callable[[sqlite3.Connection], T]

# The body stands last, so that lists do not read through it. The words are stored twice, in the table and in its
# index: deleting from a contentless index needs SQLite 3.43. They are cut already, so the plainest tokenizer does.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
  number INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL UNIQUE,
  run_id_reversed TEXT NOT NULL,
  workflow TEXT NOT NULL,
  state TEXT NOT NULL,
  status TEXT,
  started TEXT NOT NULL,
  summary BLOB NOT NULL,
  body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS runs_reversed ON runs (run_id_reversed);
CREATE INDEX IF NOT EXISTS runs_started ON runs (started, run_id);
CREATE INDEX IF NOT EXISTS runs_workflow ON runs (workflow, started, run_id);
CREATE TABLE IF NOT EXISTS run_agents (
  number INTEGER NOT NULL REFERENCES runs,
  agent TEXT NOT NULL,
  PRIMARY KEY (number, agent)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS run_agents_agent ON run_agents (agent);
CREATE TABLE IF NOT EXISTS run_pages (
  run_id TEXT NOT NULL,
  page TEXT NOT NULL,
  digest BLOB NOT NULL,
  text TEXT NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (run_id, page)
);
CREATE VIRTUAL TABLE IF NOT EXISTS run_words USING fts5 (words, tokenize = 'ascii')
"""
_WRITE = """
INSERT INTO runs (number, run_id, run_id_reversed, workflow, state, status, started, summary, body)
VALUES {rows}
ON CONFLICT (run_id) DO UPDATE SET workflow = excluded.workflow, state = excluded.state, status = excluded.status,
  started = excluded.started, summary = excluded.summary, body = excluded.body
"""
_TOGETHER = 64
"""Runs in one statement. Each statement lets the GIL go, and whoever is busy then takes 5 ms to give it back: with six
statements a run, a `consume all` with much to do stored next to nothing until its other stages had nothing left. What
is stored of them is in memory at once: of each about `PAGE_BYTES` at most."""
_MAX_BOUND = 999
"""Values of one statement: what SQLite before 3.32 takes."""
_WRITE_PAGE = "INSERT OR REPLACE INTO run_pages (run_id, page, digest, text, body) VALUES (?, ?, ?, ?, ?)"
_LAST = "\U0010ffff"


def open_store(config: Config) -> Store:
    """The store in the file that `config.store_url` names.

    Raises:
        ConfigError: the URL is not a SQLite one.
    """
    return SqliteStore(Database(path_of(config.store_url), _SCHEMA))


class SqliteStore:
    """Implements `Store`. A merge is one transaction: durable as `Database.write` is, and seen whole or not at all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def merge(self, documents: Sequence[Document]) -> list[Rejected]:
        runs, refused = by_run(documents)
        return refused + await self._do(self._database.write, lambda connection: _merge(connection, runs))

    async def get(self, run_id: str) -> Document | None:
        body = await self._do(self._database.read, lambda connection: _body(connection, run_id))
        return whole(run_id, body) if body is not None else None

    async def page(self, run_id: str, page: str) -> Document | None:
        body = await self._do(self._database.read, lambda connection: _page(connection, run_id, page))
        return restore(body) if body is not None else None

    async def find(self, short: str) -> list[str]:
        check_short(short)
        return await self._do(self._database.read, lambda connection: _find(connection, short))

    async def search(self, query: Query) -> Page:
        statement, values = _select(query)
        rows = await self._do(self._database.read, lambda connection: connection.execute(statement, values).fetchall())
        size = page_size(query)
        more = to_cursor(rows[size - 1][1:]) if len(rows) > size else None
        return Page([msgspec.json.decode(summary, type=Summary) for summary, *_ in rows[:size]], more)

    async def delete(self, run_ids: Sequence[str]) -> int:
        return await self._do(self._database.write, lambda connection: _delete(connection, run_ids))

    async def aclose(self) -> None:
        await self._database.aclose()

    async def _do(self, run: Callable[[_Work[T]], Awaitable[T]], work: _Work[T]) -> T:
        try:
            return await run(work)
        except UnicodeEncodeError as error:
            raise QueryError(f"what is looked for is not Unicode text: {error.object!r}") from error
        except (sqlite3.OperationalError, OSError) as error:
            raise StoreError(f"the store {self._database.path}: {error}", retryable=True) from error
        except sqlite3.Error as error:
            raise StoreError(f"the store {self._database.path}: {error}", retryable=False) from error


def _merge(connection: sqlite3.Connection, runs: dict[str, Document]) -> list[Rejected]:
    refused: list[Rejected] = []
    waiting = list(runs.items())
    while waiting:
        some, waiting = dict(waiting[:_TOGETHER]), waiting[_TOGETHER:]
        refused += _merge_some(connection, some)
    return refused


def _merge_some(connection: sqlite3.Connection, runs: dict[str, Document]) -> list[Rejected]:
    refused, entries = [], []
    select = f"SELECT run_id, number, body FROM runs WHERE run_id IN ({_marks(runs)})"  # noqa: S608 - all text is bound
    stored = {run_id: (number, body) for run_id, number, body in connection.execute(select, tuple(runs))}
    for run_id, given in runs.items():
        outcome = merged(given, stored[run_id][1] if run_id in stored else None)
        if isinstance(outcome, LongMerge):
            outcome = _merge_long(connection, given, outcome)
        if isinstance(outcome, Rejected):
            refused.append(outcome)
        elif outcome is not None:
            entries.append(outcome)
    if entries:
        _put(connection, entries, {run_id: number for run_id, (number, _) in stored.items()})
    return refused


def _merge_long(connection: sqlite3.Connection, given: Document, long: LongMerge) -> Entry | Rejected | None:
    connection.execute("SAVEPOINT long_run")
    try:
        for page in long.parts:
            for name, piece in long.joined(page, _page(connection, long.run_id, page)).items():
                connection.execute(_WRITE_PAGE, (long.run_id, name, piece.digest, piece.text, piece.body))
            if page not in long.pages:
                connection.execute("DELETE FROM run_pages WHERE run_id = ? AND page = ?", (long.run_id, page))
        digests = connection.execute("SELECT page, digest FROM run_pages WHERE run_id = ?", (long.run_id,))
        first = long.count(dict(digests))
    except UNUSABLE as error:
        connection.execute("ROLLBACK TO long_run")
        return rejected(given, error)
    finally:
        connection.execute("RELEASE long_run")
    select = "SELECT text FROM run_pages WHERE run_id = ? AND page = ?"
    return long.entry([connection.execute(select, (long.run_id, page)).fetchone()[0] for page in first])


def _page(connection: sqlite3.Connection, run_id: str, page: str) -> bytes | None:
    row = connection.execute("SELECT body FROM run_pages WHERE run_id = ? AND page = ?", (run_id, page)).fetchone()
    return row[0] if row else None


def _body(connection: sqlite3.Connection, run_id: str) -> bytes | None:
    row = connection.execute("SELECT body FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    return row[0] if row else None


def _put(connection: sqlite3.Connection, entries: Sequence[Entry], known: Mapping[str, int]) -> None:
    """`known`: the numbers of those that stand there already."""
    new = itertools.count((connection.execute("SELECT max(number) FROM runs").fetchone()[0] or 0) + 1)
    numbers = [known[run_id] if (run_id := entry.summary.run_id) in known else next(new) for entry in entries]
    again = [number for number in numbers if number in known.values()]
    if again:
        connection.execute(f"DELETE FROM run_agents WHERE number IN ({_marks(again)})", again)  # noqa: S608 - as above
        connection.execute(f"DELETE FROM run_words WHERE rowid IN ({_marks(again)})", again)  # noqa: S608
    numbered = list(zip(numbers, entries, strict=True))
    _insert(connection, _WRITE, [_row(number, entry) for number, entry in numbered])
    agents = [(number, agent) for number, entry in numbered for agent in entry.summary.agents]
    if agents:
        _insert(connection, "INSERT INTO run_agents VALUES {rows}", agents)
    words = [(number, entry.text) for number, entry in numbered]
    _insert(connection, "INSERT INTO run_words (rowid, words) VALUES {rows}", words)


def _row(number: int, entry: Entry) -> tuple[Any, ...]:
    summary = entry.summary
    identity = (summary.run_id, summary.run_id[::-1], summary.workflow_name, summary.state, entry.status, entry.started)
    return (number, *identity, msgspec.json.encode(summary), entry.body)


def _insert(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """As few statements as may be: each is one turn without the GIL, however many rows it has."""
    marks, most = f"({_marks(rows[0])})", _MAX_BOUND // len(rows[0])
    for at in range(0, len(rows), most):
        some = rows[at : at + most]
        connection.execute(statement.format(rows=", ".join([marks] * len(some))), list(itertools.chain(*some)))


def _delete(connection: sqlite3.Connection, run_ids: Sequence[str]) -> int:
    deleted = 0
    for run_id in run_ids:
        connection.execute("DELETE FROM run_pages WHERE run_id = ?", (run_id,))
        row = connection.execute("DELETE FROM runs WHERE run_id = ? RETURNING number", (run_id,)).fetchone()
        if row:
            connection.execute("DELETE FROM run_agents WHERE number = ?", row)
            connection.execute("DELETE FROM run_words WHERE rowid = ?", row)
            deleted += 1
    return deleted


def _find(connection: sqlite3.Connection, short: str) -> list[str]:
    reverse = short[::-1]
    rows = connection.execute(
        "SELECT run_id FROM runs WHERE run_id BETWEEN ? AND ? OR run_id_reversed BETWEEN ? AND ?"
        " ORDER BY started DESC, run_id DESC LIMIT ?",
        (short, short + _LAST, reverse, reverse + _LAST, MAX_FOUND),
    )
    return [run_id for (run_id,) in rows]


def _select(query: Query) -> tuple[str, list[str | int]]:
    """One more row than the page holds, to know whether another page follows."""
    since, until = window(query)
    conditions, values = ["started >= ?"], [since]

    def must(condition: str, *bound: str) -> None:
        conditions.append(condition)
        values.extend(bound)

    if until is not None:
        must("started < ?", until)
    if query.workflows:
        must(f"workflow IN ({_marks(query.workflows)})", *query.workflows)
    if query.statuses:
        marks = _marks(query.statuses)
        must(f"(state IN ({marks}) OR status IN ({marks}))", *query.statuses, *query.statuses)
    if query.agents:
        must(
            f"number IN (SELECT number FROM run_agents WHERE agent IN ({_marks(query.agents)}))",  # noqa: S608 - as below
            *query.agents,
        )
    phrases = wanted_words(query)
    if phrases:
        must("number IN (SELECT rowid FROM run_words WHERE run_words MATCH ?)", _match(phrases))
    if query.after is not None:
        must("(started, run_id) < (?, ?)", *from_cursor(query.after))
    statement = (
        f"SELECT summary, started, run_id FROM runs WHERE {' AND '.join(conditions)}"  # noqa: S608 - all text is bound
        " ORDER BY started DESC, run_id DESC LIMIT ?"
    )
    return statement, [*values, page_size(query) + 1]


def _match(phrases: Sequence[str]) -> str:
    """Phrases of words only, quoted: nothing in them is FTS5 syntax."""
    return " ".join(f'"{phrase}"' for phrase in phrases)


def _marks(values: Collection[Any]) -> str:
    return ", ".join("?" * len(values))
