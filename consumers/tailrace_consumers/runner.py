"""The one loop that runs every stage: receive, forget what was revoked, feed, tick, write, commit.

An offset is committed only after everything that the records below it led to is written, so a process may be killed
at any point: the records are read again, and documents join to the same. Cancelling the task is such a kill;
`Runner.stop` ends in order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Generic, Literal, TypeVar

import anyio

from tailrace.bus import Batch, Partition, Received, Subscription
from tailrace.consumer import Progress
from tailrace.errors import BusError, TailraceError
from tailrace_consumers.dead_letters import DeadLetter, DeadLetters
from tailrace_consumers.retry import Retry
from tailrace_consumers.sinks import Sink
from tailrace_consumers.stage import Stage

Item = TypeVar("Item")
Until = Literal["cancelled", "caught_up"]

_COMMIT_EVERY = 0.5
_WAIT = 0.5
_DRAIN_SECONDS = 5.0
_MAX_DEAD_IN_A_ROW = 100
_log = logging.getLogger("tailrace.consumers")


class Runner(Generic[Item]):
    """Runs one stage on one subscription. `stop` may be called from any task of the loop, also before `run`."""

    def __init__(
        self,
        stage: Stage[Item],
        sink: Sink[Item],
        dead_letters: DeadLetters,
        retry: Retry,
        *,
        backlog: Callable[[], Awaitable[int]],
        clock: Callable[[], float] = time.time,
        max_records: int = 1000,
        patience: float = 5.0,
    ) -> None:
        """`backlog` counts the records not committed; `patience` is for how long another member is waited for."""
        self._stage = stage
        self._sink = sink
        self._dead_letters = dead_letters
        self._retry = retry
        self._backlog = backlog
        self._clock = clock
        self._patience = patience
        self._max_records = max_records
        self._positions: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}
        self._commit_at = 0.0
        self._dead_in_a_row = 0
        self._stopping = False
        self._scope = anyio.CancelScope()
        self._reading = anyio.CancelScope()

    @property
    def progress(self) -> Progress:
        return self._retry.progress

    def stop(self) -> None:
        """Read no more; write and commit what may be emitted, for at most 5 s, and return from `run`."""
        self._stopping = True
        self._scope.deadline = anyio.current_time() + _DRAIN_SECONDS
        self._reading.cancel()

    async def measure_lag(self) -> int | None:
        """Bring `Progress.lag` up to date; None while the bus cannot tell."""
        try:
            self.progress.lag = await self._backlog()
        except BusError:
            self.progress.lag = None
        return self.progress.lag

    async def run(self, connect: Callable[[], Awaitable[Subscription]], *, until: Until = "cancelled") -> None:
        """Run the stage on what `connect` subscribes to, until `stop`, or until all is read, written and committed.

        A stage that another process runs is left to it: with "caught_up" its end of the backlog is awaited instead.

        Raises:
            TailraceError: it cannot go on: an error that no retry can cure, or too many dead letters in a row.
        """
        caught_up = False
        patient_until = anyio.current_time() + self._patience
        wait = _WAIT if until == "cancelled" else 0.0
        with self._scope:
            subscription = await self._connect(connect)
            while subscription and not self._stopping and not caught_up:
                batch = await self._receive(subscription, wait=wait)
                if until == "caught_up" and not subscription.active:
                    if await self.measure_lag() == 0 or anyio.current_time() >= patient_until:
                        return
                    wait = _WAIT
                    continue
                await self._take(batch)
                too_many = self._dead_in_a_row >= _MAX_DEAD_IN_A_ROW
                if too_many or self._clock() >= self._commit_at or not batch.records:
                    await self._commit(subscription)
                if too_many:
                    raise TailraceError(
                        f"{self.progress.stage} stops: its last {self._dead_in_a_row} records all went to dead letters;"
                        " look at them on the dead-letter topic, and whether this stage's topics hold what it reads"
                    )
                caught_up = until == "caught_up" and batch.caught_up
            if subscription:
                await self._write(self._stage.finish(self._clock(), caught_up=caught_up))
                await self._commit(subscription)

    async def _connect(self, connect: Callable[[], Awaitable[Subscription]]) -> Subscription | None:
        with anyio.CancelScope() as self._reading:
            return None if self._stopping else await self._retry("connecting", connect)
        return None  # stopped while it waited

    async def _receive(self, subscription: Subscription, wait: float) -> Batch:
        with anyio.CancelScope() as self._reading:
            return await self._retry("reading", lambda: subscription.receive(max_records=self._max_records, wait=wait))
        return Batch()  # stopped while it waited

    async def _take(self, batch: Batch) -> None:
        self._forget(batch.revoked)
        now = self._clock()
        items = self._feed(batch.records, now)
        dead = await self._write([*items, *self._stage.tick(now)])
        if batch.records:
            self._dead_in_a_row = self._dead_in_a_row + dead if dead >= len(batch.records) else 0
        self.progress.received += len(batch.records)
        last = {(record.topic, record.partition): record.offset for record in batch.records}
        for at, offset in last.items():
            self._positions[Partition(*at)] = offset + 1

    def _forget(self, revoked: Collection[Partition]) -> None:
        self._stage.forget(revoked)
        for partition in revoked:
            self._positions.pop(partition, None)
            self._committed.pop(partition, None)

    def _feed(self, records: Sequence[Received], now: float) -> list[Item | DeadLetter]:
        if not records:
            return []
        try:
            return list(self._stage.feed(records, now))
        except Exception:  # noqa: BLE001 - whatever it is, one of the records brought it
            # A record that a stage does not survive would stop its partition for ever: find it and set it aside.
            _log.exception("%s failed on a batch of %d records", self.progress.stage, len(records))
            return [item for record in records for item in self._feed_alone(record, now)]

    def _feed_alone(self, record: Received, now: float) -> list[Item | DeadLetter]:
        try:
            return list(self._stage.feed([record], now))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this record's
            return [DeadLetter.unreadable(record, repr(error))]

    async def _write(self, output: Iterable[Item | DeadLetter]) -> int:
        """How many of it became dead letters."""
        items: list[Item] = []
        letters: list[DeadLetter] = []
        for each in output:
            if isinstance(each, DeadLetter):
                letters.append(each)
            else:
                items.append(each)
        if items:
            refused = await self._retry("writing", lambda: self._sink.write(items))
            self.progress.written += len(items) - len(refused)
            letters += refused
        if letters:
            await self._retry("writing dead letters", lambda: self._dead_letters.write(letters))
            self.progress.dead += len(letters)
            _log.warning("%s: %d dead letters: %s", self.progress.stage, len(letters), letters[0].error)
        return len(letters)

    async def _commit(self, subscription: Subscription) -> None:
        held = self._stage.held()
        upto = {
            partition: min(position, held.get(partition, position)) for partition, position in self._positions.items()
        }
        moved = {partition: offset for partition, offset in upto.items() if self._committed.get(partition) != offset}
        if moved:
            await self._retry("committing", lambda: subscription.commit(moved))
            self._committed.update(moved)
        self._commit_at = self._clock() + _COMMIT_EVERY
