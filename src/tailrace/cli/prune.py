"""`tailrace prune`: old runs, deleted from the store."""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from cyclopts import Parameter

from tailrace.cli.catch_up import current_store
from tailrace.cli.escape import escape
from tailrace.cli.export import matching
from tailrace.cli.output import say, stdout
from tailrace.cli.wording import counted
from tailrace.config import load
from tailrace.document import Summary, shape
from tailrace.errors import QueryError
from tailrace.store import Query, Store
from tailrace.store.grammar import parse

_AT_ONCE = 100
"""Runs that are deleted together."""


async def prune(
    *,
    older_than: Annotated[str, Parameter(help="Runs that began longer ago: `30d`, `12h`, or before a time.")],
    query: Annotated[str, Parameter(help="Of those only what matches, as `tailrace runs` takes it.")] = "",
    include_open: Annotated[
        bool, Parameter(name="--open", negative=(), help="Also runs without an end that may still go on.")
    ] = False,
    dry_run: Annotated[bool, Parameter(negative=(), help="Name the runs, and delete none.")] = False,
    yes: Annotated[bool, Parameter(alias="-y", negative=(), help="Do not ask.")] = False,
) -> int:
    """Delete old runs and stubs from the store: documents, their pages, and what searches know of them.

    A run's age is counted from its begin; one that tells no time is never deleted. The bus keeps what it has until its
    own retention ends: `tailrace rebuild` brings back what is there, and an event that comes late makes a new document.

    SQLite keeps the room in its file for what comes next; the file itself gets no smaller, unless `VACUUM` is run on it
    while nothing else uses it. OpenSearch gives the room back as it merges its segments.
    """
    wanted = _older(query, older_than)
    async with current_store(load()) as store:
        if dry_run:
            count = 0
            async for summary in _doomed(store, wanted, include_open=include_open):
                stdout().print(escape(summary.run_id))
                count += 1
            say(f"{counted(count, 'run')} would be deleted")
            return 0
        if not yes and not await _confirmed(store, wanted, include_open=include_open):
            return 1
        deleted = await _delete(store, wanted, include_open=include_open)
    stdout().print(f"deleted {counted(deleted, 'run')}")
    return 0


def _older(query: str, older_than: str) -> Query:
    now = time.time()
    wanted = parse(query, now=now)
    before = parse(f"until:{older_than}", now=now).until
    if before is None:
        raise QueryError(f"--older-than takes an age (30d) or a time, not {older_than!r}")
    # Times of one width: the earlier text is the earlier time.
    return msgspec.structs.replace(wanted, until=min(before, wanted.until or before))


async def _doomed(store: Store, wanted: Query, *, include_open: bool) -> AsyncIterator[Summary]:
    async for summary in matching(store, wanted):
        if include_open or summary.state != shape.OPEN:
            yield summary


async def _confirmed(store: Store, wanted: Query, *, include_open: bool) -> bool:
    count = 0
    async for _ in _doomed(store, wanted, include_open=include_open):
        count += 1
    what = f"{counted(count, 'run')} that began before {wanted.until}"
    if not count:
        say("no run is to be deleted")
        return True
    if not sys.stdin.isatty():
        say(f"{what} would be deleted; add --yes to do it, or --dry-run to see which")
        return False
    sys.stderr.write(f"Delete {what}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


async def _delete(store: Store, wanted: Query, *, include_open: bool) -> int:
    """How many were there. A page of the search goes on behind its last run, whether that is deleted by then or not."""
    deleted = 0
    batch: list[str] = []
    async for summary in _doomed(store, wanted, include_open=include_open):
        batch.append(summary.run_id)
        if len(batch) == _AT_ONCE:
            deleted += await store.delete(batch)
            batch = []
    return deleted + (await store.delete(batch) if batch else 0)
