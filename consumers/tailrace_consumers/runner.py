"""The one loop that runs every stage: receive, forget what was revoked, feed, tick, write, commit.

What comes of a batch is written while the next one is read and fed. An offset is committed only after everything that
the records below it led to is written, so a process may be killed at any point: the records are read again, and
documents join to the same. Cancelling the task is such a kill; `Runner.stop` ends in order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Generic, Literal, TypeVar, cast

import anyio
import msgspec

from tailrace.bus import UNBOUNDED, Batch, Partition, Received, Subscription
from tailrace.bus.gathering import rest_after
from tailrace.consumer import Progress
from tailrace.errors import BusError, TailraceError
from tailrace_consumers.behind import WriteBehind
from tailrace_consumers.dead_letters import DeadLetter, DeadLetters, Quota
from tailrace_consumers.retry import Retry
from tailrace_consumers.sinks import Sink
from tailrace_consumers.stage import Stage, size_of

Item = TypeVar("Item")
Until = Literal["cancelled", "caught_up"]

_COMMIT_EVERY = 0.5
_WAIT = 0.5
_DRAIN_SECONDS = 5.0
_MAX_DEAD_PER_MINUTE = 1000
_log = logging.getLogger("tailrace.consumers")


class Pulse(msgspec.Struct):
    """Where the loop is, for those who judge by progress whether it works."""

    turned_at: float
    """When the loop last came round, by the monotonic clock; while `Progress.note` says why it waits, it need not."""
    turned: bool = False
    """Whether it ever did."""
    active: bool = False
    """Whether it reads for its group, or stands by."""
    uncommitted_since: float | None = None
    """Of the last commit, or the first record after it, while something is read and not committed; by the runner's
    clock."""
    read_upto: dict[Partition, float] = {}
    """The bus's time of the newest record read, of each partition held."""


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
        max_bytes: int = UNBOUNDED,
        max_dead_per_minute: int = _MAX_DEAD_PER_MINUTE,
        patience: float = 5.0,
    ) -> None:
        """`backlog` counts the records not committed; `patience` is for how long another member is waited for.

        `max_records` and `max_bytes` are those of `Subscription.receive`.
        """
        self.pulse = Pulse(time.monotonic())
        self._stage = stage
        self._sink = sink
        self._dead_letters = dead_letters
        self._retry = retry
        self._backlog = backlog
        self._clock = clock
        self._patience = patience
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._positions: dict[Partition, int] = {}
        self._committed: dict[Partition, int] = {}
        self._commit_at = clock() + _COMMIT_EVERY
        self._rest = 0.0
        """Seconds to let records gather before the next batch is read."""
        self._quota = Quota(max_dead_per_minute)
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
            TailraceError: it cannot go on: an error that no retry can cure, or too many dead letters in a minute.
                These are committed by then: when it is started again it goes on behind them.
        """
        failure: Exception | None = None
        with self._scope:
            async with anyio.create_task_group() as group:
                writing = WriteBehind(group)
                try:
                    await self._run(connect, until, writing)
                    await writing.done()
                except Exception as error:  # noqa: BLE001 - raised below, not in a group of errors with no other one
                    failure = error
                    group.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _run(self, connect: Callable[[], Awaitable[Subscription]], until: Until, writing: WriteBehind) -> None:
        caught_up = False
        patient_until = anyio.current_time() + self._patience
        wait = _WAIT if until == "cancelled" else 0.0
        subscription = await self._connect(connect)
        while subscription and not self._stopping and not caught_up:
            batch = await self._receive(subscription, wait=wait)
            came = time.monotonic()
            self._note_turn(active=subscription.active)
            if until == "caught_up" and not subscription.active:
                if await self.measure_lag() == 0 or anyio.current_time() >= patient_until:
                    return
                wait = _WAIT
                continue
            await self._take(batch, writing)
            caught_up = until == "caught_up" and batch.caught_up
            too_many = self._quota.used_up(self._clock())
            if too_many or caught_up or self._clock() >= self._commit_at or not batch.records:
                await self._commit(subscription, writing)
                too_many = self._quota.used_up(self._clock())
            if too_many:
                raise TailraceError(
                    f"{self.progress.stage} stops: {too_many:,} dead letters within a minute; see what they are"
                    " (`tailrace dead list`), and whether its topics hold what it reads; if they do, start it"
                    " again, with a higher consume.max_dead_per_minute"
                )
            self._rest = rest_after(batch, time.monotonic() - came) if until == "cancelled" else 0.0
        if subscription:
            await self._write(self._stage.finish(self._clock(), caught_up=caught_up), writing)
            await self._commit(subscription, writing)

    async def _connect(self, connect: Callable[[], Awaitable[Subscription]]) -> Subscription | None:
        with anyio.CancelScope() as self._reading:
            return None if self._stopping else await self._retry("connecting", connect)
        return None  # stopped while it waited

    async def _receive(self, subscription: Subscription, wait: float) -> Batch:
        with anyio.CancelScope() as self._reading:
            await anyio.sleep(self._rest)
            limits = {"max_records": self._max_records, "max_bytes": self._max_bytes}
            return await self._retry("reading", lambda: subscription.receive(**limits, wait=wait))
        return Batch()  # stopped while it waited

    async def _take(self, batch: Batch, writing: WriteBehind) -> None:
        self._forget(batch.revoked)
        now = self._clock()
        output = self._feed(batch.records, now)
        output.extend(self._stage.tick(now))
        await self._write(output, writing)
        self.progress.received += len(batch.records)
        last = {(record.topic, record.partition): record for record in batch.records}
        for at, record in last.items():
            partition = Partition(*at)
            self._positions[partition] = record.offset + 1
            self.pulse.read_upto[partition] = record.timestamp
        if batch.records and self.pulse.uncommitted_since is None:
            self.pulse.uncommitted_since = now

    def _forget(self, revoked: Collection[Partition]) -> None:
        self._stage.forget(revoked)
        self.progress.rebalances += bool(revoked)
        for partition in revoked:
            self._positions.pop(partition, None)
            self._committed.pop(partition, None)
            self.pulse.read_upto.pop(partition, None)
        if revoked:
            self._note_commit()

    def _feed(self, records: Sequence[Received], now: float) -> list[Item | DeadLetter]:
        """Feed the stage; a batch that it does not survive is halved until each record that kills it stands alone.

        What it gave out before it failed counts, for it may not say it again.
        """
        output: list[Item | DeadLetter] = []
        parts = [records] if records else []
        while parts:
            part = parts.pop()
            try:
                output.extend(self._stage.feed(part, now))
            except Exception as error:  # noqa: BLE001 - whatever it is, one of the records brought it
                if len(part) == len(records):
                    _log.warning("%s failed on a batch of %d records", self.progress.stage, len(part), exc_info=error)
                if len(part) == 1:
                    # It would stop its partition for ever: it is set aside.
                    output.append(DeadLetter.unreadable(part[0], repr(error)))
                else:
                    middle = len(part) // 2
                    parts += [part[middle:], part[:middle]]
        return output

    async def _write(self, output: Iterable[Item | DeadLetter], writing: WriteBehind) -> None:
        """Begin to write it, once what came of the batch before is written."""
        if given := list(output):
            await writing.begin(lambda: self._written(given))

    async def _written(self, given: Sequence[Item | DeadLetter]) -> None:
        letters = [each for each in given if isinstance(each, DeadLetter)]
        items = [each for each in given if not isinstance(each, DeadLetter)] if letters else cast("list[Item]", given)
        if items:
            refused = await self._retry("writing", lambda: self._sink.write(items))
            self.progress.written += sum(map(size_of, items)) - len(refused)
            letters += refused
        if letters:
            await self._retry("writing dead letters", lambda: self._dead_letters.write(letters))
            self.progress.dead += len(letters)
            self._quota.add(len(letters), self._clock())
            _log.warning("%s: %d dead letters: %s", self.progress.stage, len(letters), letters[0].error)

    async def _commit(self, subscription: Subscription, writing: WriteBehind) -> None:
        await writing.done()
        held = self._stage.held()
        upto = {
            partition: min(position, held.get(partition, position)) for partition, position in self._positions.items()
        }
        moved = {partition: offset for partition, offset in upto.items() if self._committed.get(partition) != offset}
        if moved:
            await self._retry("committing", lambda: subscription.commit(moved))
            self._committed.update(moved)
            self._note_commit()
        self._commit_at = self._clock() + _COMMIT_EVERY

    def _note_turn(self, *, active: bool) -> None:
        self.pulse.turned_at, self.pulse.turned, self.pulse.active = time.monotonic(), True, active

    def _note_commit(self) -> None:
        waits = any(self._committed.get(at) != position for at, position in self._positions.items())
        self.pulse.uncommitted_since = self._clock() if waits else None
