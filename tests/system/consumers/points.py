"""The points at which a worker kills itself, wrapped around the real bus, store and stage of its process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NoReturn

import msgspec

from tailrace.bus import Batch
from tailrace.bus.kafka import KafkaBus
from tailrace.bus.kafka.group import GroupSubscription
from tailrace.bus.topics import Topics
from tailrace.config import Config
from tailrace.store.opensearch import OpenSearchStore
from tailrace.store.sqlite import SqliteStore
from tailrace_consumers.aggregate import AggregateStage
from tailrace_consumers.index import IndexStage
from tailrace_consumers.sample import SampleStage

STAGES = {"sample": SampleStage, "aggregate": AggregateStage, "index": IndexStage}

REBALANCED = ("revoked", "assigned again")
"""Passed only when another member joins the group."""
STOPPED = ("draining", "leaving the group", "left the group")
"""At these the worker first sends itself SIGTERM, with records in its hands."""
DEAD_LETTERS = ("before a dead letter", "a dead letter under way", "after a dead letter")
POINTS = (
    *("before the first receive", "assigned", "received", "mid-feed"),
    *("before a write", "half-way through a write", "a write under way", "after a write"),
    *("before a commit", "a commit under way", "after a commit"),
    *DEAD_LETTERS,
    *REBALANCED,
    *STOPPED,
)
SELDOM = ("before the first receive", "assigned", "half-way through a write", *DEAD_LETTERS, *REBALANCED, *STOPPED)
"""Passed once in the life of a worker, or with few records only: half-way through is where two documents are written
at once, which few runs a second rarely bring about."""

_UNTIL_SENT = 0.001
"""Seconds from the begin of a request to the kill that comes before its answer: sometimes before it was sent."""


class Fuse(msgspec.Struct, frozen=True):
    """Where a worker dies: at the `passage`-th time that it comes to `point`."""

    point: str
    passage: int = 1


def arm(fuse: Fuse | None, stage: str, config: Config, on_assigned: Callable[[], None]) -> None:
    """Wrap this process's bus, store and stage. `on_assigned` is called when it first holds a partition."""
    _Wrapping(fuse or Fuse("never"), Topics(config.prefix).dead, on_assigned).wrap(STAGES[stage])


class _Wrapping:
    def __init__(self, fuse: Fuse, dead: str, on_assigned: Callable[[], None]) -> None:
        self._fuse = fuse
        self._left = fuse.passage
        self._dead = dead
        self._on_assigned = on_assigned
        self._received = self._assigned = self._revoked = self._draining = False

    def wrap(self, stage: type) -> None:
        for owner, name, wrapper in (
            *((store, "merge", self._merge) for store in (SqliteStore, OpenSearchStore)),
            (KafkaBus, "publish", self._publish),
            *((GroupSubscription, each, getattr(self, f"_{each}")) for each in ("receive", "commit", "aclose")),
            (stage, "feed", self._feed),
        ):
            setattr(owner, name, _bound(wrapper, getattr(owner, name)))

    def _reaches(self, point: str) -> bool:
        if self._draining and self._fuse.point == "draining" and point in _DRAIN_STEPS:
            return True
        if point == self._fuse.point:
            self._left -= 1
        return point == self._fuse.point and self._left == 0

    def _pass(self, point: str) -> None:
        if self._reaches(point):
            _die()

    async def _around(self, what: str, call: Callable[[Any], Awaitable[Any]], items: Any) -> Any:
        self._pass(f"before a {what}")
        if len(items) > 1 and self._reaches(f"half-way through a {what}"):
            await call(items[: len(items) // 2])
            _die()
        if self._reaches(f"a {what} under way"):
            under_way = asyncio.ensure_future(call(items))
            await asyncio.wait([under_way], timeout=_UNTIL_SENT)
            _die()
        result = await call(items)
        self._pass(f"after a {what}")
        return result

    async def _publish(self, real: Callable[..., Any], bus: KafkaBus, records: Sequence[Any]) -> Any:
        what = "dead letter" if records[0].topic == self._dead else "write"
        return await self._around(what, lambda some: real(bus, some), records)

    async def _merge(self, real: Callable[..., Any], store: Any, documents: Sequence[Any]) -> Any:
        return await self._around("write", lambda some: real(store, some), documents)

    async def _commit(self, real: Callable[..., Any], reader: GroupSubscription, upto: dict[Any, int]) -> Any:
        return await self._around("commit", lambda all_: real(reader, all_), upto)

    async def _receive(self, real: Callable[..., Any], reader: GroupSubscription, **options: Any) -> Batch:
        if not self._received:
            self._received = True
            self._pass("before the first receive")
        batch: Batch = await real(reader, **options)
        if batch.revoked:
            self._revoked = True
            self._pass("revoked")
        if reader.active and self._revoked:
            self._pass("assigned again")
        elif reader.active and not self._assigned:
            self._assigned = True
            self._on_assigned()
            self._pass("assigned")
        if batch.records:
            self._pass("received")
            if self._fuse.point in STOPPED and not self._draining:  # a second one would end it at once
                self._draining = True
                os.kill(os.getpid(), signal.SIGTERM)
        return batch

    async def _aclose(self, real: Callable[..., Any], reader: GroupSubscription) -> None:
        self._pass("leaving the group")
        await real(reader)
        self._pass("left the group")

    def _feed(self, real: Callable[..., Iterable[Any]], stage: Any, records: Sequence[Any], now: float) -> Any:
        if self._reaches("mid-feed"):
            for _ in real(stage, records[: (len(records) + 1) // 2], now):
                pass
            _die()
        return real(stage, records, now)


_DRAIN_STEPS = ("after a write", "before a commit", "leaving the group")


def _bound(wrapper: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
    """A method that calls the wrapper with the real one."""
    return lambda self, *arguments, **options: wrapper(real, self, *arguments, **options)


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a process does not survive SIGKILL")
