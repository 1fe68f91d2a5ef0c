"""Joining documents into the indexes: join with what stands there, write on condition, and again where that failed.

Most runs are new, and those that are not were mostly written a moment ago by this writer. So a run is written first as
if it were new, or on top of what is known of it, and read only when the condition of that write failed.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import islice

import anyio

from tailrace.document import Document, shape
from tailrace.errors import StoreError
from tailrace.store import Rejected
from tailrace.store.entry import Entry
from tailrace.store.opensearch.bulk import ABSENT, BULK_BYTES, CONFLICT, Outcome, Present, Source, lines, read, send
from tailrace.store.opensearch.client import Client
from tailrace.store.opensearch.delete import delete
from tailrace.store.opensearch.indexes import Indexes, fields_of
from tailrace.store.opensearch.known import Known
from tailrace.store.opensearch.long import merge_long
from tailrace.store.pieces import LongMerge, merged

_AT_ONCE = 100  # runs
_IN_FLIGHT = 2  # batches: while the server works on one, the other is made ready
_ROUNDS = 10


class Writer:
    """Merges into one cluster. Any number of tasks may use it at once."""

    def __init__(self, client: Client, indexes: Indexes) -> None:
        self._client = client
        self._indexes = indexes
        self._known = Known()

    async def merge(self, documents: Iterable[Document]) -> list[Rejected]:
        """Join each document, of different runs, with the stored one.

        Raises:
            StoreError: as `Store.merge`; retryable also where conflicts or a busy server outlast the attempts.
        """
        rejected: list[Rejected] = []
        failures: list[StoreError] = []
        left = iter(documents)

        async def work() -> None:
            try:
                while not failures and (batch := list(islice(left, _AT_ONCE))):
                    rejected.extend(await self._merge_batch(batch))
            except StoreError as error:
                failures.append(error)

        async with anyio.create_task_group() as group:
            for _ in range(_IN_FLIGHT):
                group.start_soon(work)
        if failures:
            raise failures[0]
        return rejected

    async def delete(self, run_ids: Sequence[str]) -> int:
        """How many were there. See `Store.delete`."""
        deleted = 0
        for at in range(0, len(run_ids), _AT_ONCE):
            some = run_ids[at : at + _AT_ONCE]
            for run_id in some:
                self._known.forget(run_id)
            deleted += await delete(self._client, self._indexes, some)
        return deleted

    async def _merge_batch(self, pending: Sequence[Document]) -> list[Rejected]:
        rounds = _Batch(self._client, self._indexes, self._known)
        for attempt in range(_ROUNDS):
            if attempt:
                await anyio.sleep(_pause(attempt, rounds.last))
            pending = await rounds.write(pending)
            if not pending:
                return rounds.rejected
        what = f"the store at {self._client.name} did not take {len(pending)} runs in {_ROUNDS} attempts: {rounds.last}"
        raise StoreError(what, retryable=True)


class _Batch:
    """The attempts to write some documents."""

    def __init__(self, client: Client, indexes: Indexes, known: Known) -> None:
        self._client = client
        self._indexes = indexes
        self._known = known
        self._to_read: set[str] = set()
        self._again: list[Document] = []
        self.rejected: list[Rejected] = []
        self.last = Outcome(0)
        """Why what is left was not written."""

    async def write(self, pending: Sequence[Document]) -> list[Document]:
        """Those that must be tried again."""
        present = await self._read(pending)
        self._to_read, self._again = set(), []
        writes: list[tuple[Document, Entry, bytes]] = []
        for given in pending:
            run_id = given.run_id
            stored = present.get(run_id) or self._known.get(run_id)
            outcome = merged(given, stored.body if stored else None)
            if isinstance(outcome, Rejected):
                self.rejected.append(outcome)
            elif isinstance(outcome, Entry):
                target = {"_index": self._indexes.of(run_id), "_id": run_id}
                writes.append((given, outcome, lines(target, fields_of(outcome), stored or ABSENT)))
                writes = await self._send_if_full(writes)
            elif run_id not in present:
                # What is only assumed suffices for a write on condition, not for leaving it, nor for pages.
                self._read_first(given)
            elif isinstance(outcome, LongMerge):
                await self._write_long(given, outcome, present[run_id])
        await self._send(writes)
        return self._again

    async def _read(self, pending: Sequence[Document]) -> dict[str, Present]:
        wanted = [
            given.run_id for given in pending if given.run_id in self._to_read or (self._known.is_long(given.run_id))
        ]
        targets = [{"_index": self._indexes.of(run_id), "_id": run_id} for run_id in wanted]
        return dict(zip(wanted, await read(self._client, targets, "body"), strict=True))

    def _read_first(self, given: Document) -> None:
        self._known.forget(given.run_id)
        self._to_read.add(given.run_id)
        self._again.append(given)
        self.last = Outcome(CONFLICT)

    async def _write_long(self, given: Document, long: LongMerge, present: Present) -> None:
        self._known.note_long(given.run_id)
        outcome = await merge_long(self._client, self._indexes, given, long, present)
        if isinstance(outcome, Rejected):
            self.rejected.append(outcome)
        else:
            self._settle(given, None, outcome)

    async def _send_if_full(self, writes: list[tuple[Document, Entry, bytes]]) -> list[tuple[Document, Entry, bytes]]:
        *others, last = writes
        if not others or sum(len(each[2]) for each in writes) <= BULK_BYTES:
            return writes
        await self._send(others)
        return [last]

    async def _send(self, writes: Sequence[tuple[Document, Entry, bytes]]) -> None:
        if writes:
            outcomes = await send(self._client, [each[2] for each in writes])
            for (given, entry, _), outcome in zip(writes, outcomes, strict=True):
                self._settle(given, entry, outcome)

    def _settle(self, given: Document, entry: Entry | None, outcome: Outcome) -> None:
        verdict = outcome.verdict
        if verdict == "done":
            self._keep(entry, outcome)
        elif verdict == "again":
            if outcome.status == CONFLICT:
                self._read_first(given)
            else:
                self._again.append(given)
            self.last = outcome
        elif verdict == "never":
            self.rejected.append(Rejected(given, f"{outcome.error.type}: {outcome.error.reason}"))
        else:
            raise StoreError(f"the store at {self._client.name} refused a write: {outcome}", retryable=False)

    def _keep(self, entry: Entry | None, outcome: Outcome) -> None:
        """Open runs are written again soon; of others little more is to come."""
        if entry is None:
            return
        if entry.summary.state == shape.OPEN and outcome.seq_no is not None:
            written = Present(Source(entry.body.decode()), outcome.seq_no, outcome.primary_term)
            self._known.keep(entry.summary.run_id, written)
        else:
            self._known.forget(entry.summary.run_id)


def _pause(attempt: int, last: Outcome) -> float:
    """Seconds. Writers in conflict only need to fall out of step; a busy server needs rest."""
    longest = 0.02 * attempt if last.status == CONFLICT else min(0.1 * 2**attempt, 3.0)
    return random.uniform(longest / 2, longest)  # noqa: S311
