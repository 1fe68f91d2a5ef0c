"""Removing runs: first their pages, then what stands in their place.

So whoever is interrupted in between leaves runs that are still listed, and deleting them again finishes it. The other
way round pages would stay that nobody knows of.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tailrace.errors import StoreError
from tailrace.store.opensearch.bulk import send
from tailrace.store.opensearch.client import Client
from tailrace.store.opensearch.indexes import Indexes

_NOT_FOUND = 404


class _Anything(msgspec.Struct, frozen=True):
    """An answer of which nothing is wanted but that it came."""


class _Removed(msgspec.Struct, frozen=True):
    deleted: int = 0
    version_conflicts: int = 0
    timed_out: bool = False


async def delete(client: Client, indexes: Indexes, run_ids: Sequence[str]) -> int:
    """How many of the runs were there.

    Raises:
        StoreError: as `Store.delete`.
    """
    await _delete_pages(client, indexes, run_ids)
    deletes = [
        msgspec.json.encode({"delete": {"_index": indexes.of(run_id), "_id": run_id}}) + b"\n" for run_id in run_ids
    ]
    outcomes = await send(client, deletes)
    for outcome in outcomes:
        if outcome.verdict != "done" and outcome.status != _NOT_FOUND:
            what = f"the store at {client.name} did not delete a run: {outcome}"
            raise StoreError(what, retryable=outcome.verdict == "again")
    return sum(outcome.verdict == "done" for outcome in outcomes)


async def _delete_pages(client: Client, indexes: Indexes, run_ids: Sequence[str]) -> None:
    """By a search for them, not by the header's list: pages that an interrupted writer left go along."""
    if not run_ids:
        return
    there = {"ignore_unavailable": "true"}
    await client.request("POST", f"/{indexes.pages}/_refresh", _Anything, params=there)
    body = msgspec.json.encode({"query": {"terms": {"run_id": run_ids}}})
    removed = await client.request("POST", f"/{indexes.pages}/_delete_by_query", _Removed, body, there)
    if removed.timed_out or removed.version_conflicts:
        raise StoreError(f"the store at {client.name} did not delete all pages of some runs", retryable=True)
