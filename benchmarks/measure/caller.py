"""Timed calls, with the same little around a call that must be awaited and one that must not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from benchmarks.peers import Peer


class Caller(ABC):
    """Calls a peer with payload numbers `first`, `first + 1`, ..."""

    def __init__(self, peer: Peer) -> None:
        self._call: Callable[[int], Any] = peer.call

    @abstractmethod
    async def batch(self, first: int, count: int) -> int:
        """Nanoseconds of `count` calls together."""

    @abstractmethod
    async def each(self, first: int, count: int) -> list[int]:
        """Nanoseconds of each of `count` calls, reading the clock included."""


class _Plain(Caller):
    async def batch(self, first: int, count: int) -> int:
        call = self._call
        begin = perf_counter_ns()
        for i in range(first, first + count):
            call(i)
        return perf_counter_ns() - begin

    async def each(self, first: int, count: int) -> list[int]:
        call, found = self._call, []
        for i in range(first, first + count):
            begin = perf_counter_ns()
            call(i)
            found.append(perf_counter_ns() - begin)
        return found


class _Awaiting(Caller):
    async def batch(self, first: int, count: int) -> int:
        call = self._call
        begin = perf_counter_ns()
        for i in range(first, first + count):
            await call(i)
        return perf_counter_ns() - begin

    async def each(self, first: int, count: int) -> list[int]:
        call, found = self._call, []
        for i in range(first, first + count):
            begin = perf_counter_ns()
            await call(i)
            found.append(perf_counter_ns() - begin)
        return found


def caller_of(peer: Peer) -> Caller:
    return _Awaiting(peer) if peer.is_async else _Plain(peer)
