"""Joining documents into the indexes: read, join, write on condition, and again what another writer came before."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Literal

import anyio
import msgspec

from tailrace.document import Document
from tailrace.errors import StoreError
from tailrace.store import Rejected
from tailrace.store.entry import Entry, merged
from tailrace.store.opensearch.client import PASSING, TOO_LARGE, AnswerError, Client
from tailrace.store.opensearch.indexes import Indexes, fields_of

_READ_AT_ONCE = 100  # runs; their present documents are in memory together
_BULK_BYTES = 5 << 20
_ROUNDS = 10
_CONFLICT = 409
_BAD_REQUEST = 400
_MISSING_INDEX = "index_not_found_exception"


class _Failure(msgspec.Struct, frozen=True):
    type: str = ""
    reason: str = ""


class _Source(msgspec.Struct, frozen=True):
    body: str


class Present(msgspec.Struct, frozen=True):
    """A run as it stands in its index, with what a conditional write must name; all None if it is not there."""

    source: _Source | None = msgspec.field(name="_source", default=None)
    seq_no: int | None = msgspec.field(name="_seq_no", default=None)
    primary_term: int | None = msgspec.field(name="_primary_term", default=None)
    error: _Failure | None = None

    @property
    def body(self) -> bytes | None:
        return self.source.body.encode() if self.source else None


class _PresentRuns(msgspec.Struct, frozen=True):
    docs: list[Present]


class _Outcome(msgspec.Struct, frozen=True):
    status: int
    error: _Failure = _Failure()


class _Outcomes(msgspec.Struct, frozen=True):
    items: list[dict[str, _Outcome]]


class _Write(msgspec.Struct, frozen=True):
    given: Document
    lines: bytes


async def read_present(client: Client, indexes: Indexes, run_ids: Sequence[str]) -> dict[str, Present]:
    """Each run as last written, whether refreshed or not."""
    wanted = {"docs": [{"_index": indexes.of(run_id), "_id": run_id} for run_id in run_ids]}
    answer = await client.request("POST", "/_mget", _PresentRuns, msgspec.json.encode(wanted), {"_source": "body"})
    for present in answer.docs:
        if present.error is not None and present.error.type != _MISSING_INDEX:
            what = f"the store at {client.name} could not read: {present.error.type}: {present.error.reason}"
            raise StoreError(what, retryable=True)
    return dict(zip(run_ids, answer.docs, strict=True))


async def merge_runs(client: Client, indexes: Indexes, runs: dict[str, Document]) -> list[Rejected]:
    """Join each document with the stored one.

    Raises:
        StoreError: as `Store.merge`; retryable also where conflicts or a busy server outlast the attempts.
    """
    rejected: list[Rejected] = []
    left = iter(runs.items())
    while batch := dict(islice(left, _READ_AT_ONCE)):
        rejected += await _merge_batch(client, indexes, batch)
    return rejected


async def _merge_batch(client: Client, indexes: Indexes, pending: dict[str, Document]) -> list[Rejected]:
    rejected: list[Rejected] = []
    last = _Outcome(0)
    for attempt in range(_ROUNDS):
        if attempt:
            await anyio.sleep(_pause(attempt, last))
        writes = await _plan(client, indexes, pending, rejected)
        pending = {}
        for write, outcome in await _send(client, writes):
            verdict = _judge(outcome)
            if verdict == "again":
                pending[write.given.run_id] = write.given
                last = outcome
            elif verdict == "never":
                rejected.append(Rejected(write.given, f"{outcome.error.type}: {outcome.error.reason}"))
            elif verdict == "stop":
                raise StoreError(f"the store at {client.name} refused a write: {_shown(outcome)}", retryable=False)
        if not pending:
            return rejected
    what = f"the store at {client.name} did not take {len(pending)} runs in {_ROUNDS} attempts: {_shown(last)}"
    raise StoreError(what, retryable=True)


async def _plan(
    client: Client, indexes: Indexes, pending: dict[str, Document], rejected: list[Rejected]
) -> list[_Write]:
    """What must be written, on the condition that nobody else writes first."""
    present = await read_present(client, indexes, list(pending))
    writes = []
    for run_id, given in pending.items():
        outcome = merged(given, present[run_id].body)
        if isinstance(outcome, Rejected):
            rejected.append(outcome)
        elif outcome is not None:
            writes.append(_Write(given, _lines(indexes.of(run_id), outcome, present[run_id])))
    return writes


def _lines(index: str, entry: Entry, present: Present) -> bytes:
    target: dict[str, Any] = {"_index": index, "_id": entry.summary.run_id}
    if present.source is None:
        action = {"create": target}
    else:
        action = {"index": {**target, "if_seq_no": present.seq_no, "if_primary_term": present.primary_term}}
    return msgspec.json.encode(action) + b"\n" + msgspec.json.encode(fields_of(entry)) + b"\n"


async def _send(client: Client, writes: Sequence[_Write]) -> list[tuple[_Write, _Outcome]]:
    outcomes = []
    for bulk in _bulks(writes):
        outcomes += await _send_bulk(client, bulk)
    return outcomes


def _bulks(writes: Sequence[_Write]) -> Iterator[list[_Write]]:
    """Parts of at most `_BULK_BYTES`; a larger write goes alone."""
    bulk: list[_Write] = []
    size = 0
    for write in writes:
        if bulk and size + len(write.lines) > _BULK_BYTES:
            yield bulk
            bulk, size = [], 0
        bulk.append(write)
        size += len(write.lines)
    if bulk:
        yield bulk


async def _send_bulk(client: Client, writes: list[_Write]) -> list[tuple[_Write, _Outcome]]:
    body = b"".join(write.lines for write in writes)
    wanted = {"filter_path": "items.*.status,items.*.error.type,items.*.error.reason"}
    try:
        answer = await client.request("POST", "/_bulk", _Outcomes, body, wanted)
    except AnswerError as error:
        if error.status == TOO_LARGE and len(writes) > 1:
            half = len(writes) // 2
            return await _send_bulk(client, writes[:half]) + await _send_bulk(client, writes[half:])
        if error.status == TOO_LARGE or error.status in PASSING:
            return [(write, _Outcome(error.status, _Failure("refused", str(error)))) for write in writes]
        raise
    outcomes = [outcome for item in answer.items for outcome in item.values()]
    return list(zip(writes, outcomes, strict=True))


def _judge(outcome: _Outcome) -> Literal["done", "again", "never", "stop"]:
    status, failure = outcome.status, outcome.error
    if status < 300:  # noqa: PLR2004 - success in HTTP
        return "done"
    # Also what concerns the cluster, not the document: it passes when someone frees disk space or raises a limit.
    blocked = failure.type == "cluster_block_exception" or "maximum shards open" in failure.reason
    if status == _CONFLICT or status in PASSING or blocked:
        return "again"
    return "never" if status in (_BAD_REQUEST, TOO_LARGE) else "stop"


def _pause(attempt: int, last: _Outcome) -> float:
    """Seconds. Writers in conflict only need to fall out of step; a busy server needs rest."""
    longest = 0.02 * attempt if last.status == _CONFLICT else min(0.1 * 2**attempt, 3.0)
    return random.uniform(longest / 2, longest)  # noqa: S311


def _shown(outcome: _Outcome) -> str:
    return f"{outcome.status} {outcome.error.type}: {outcome.error.reason}"
