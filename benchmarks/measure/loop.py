"""Modes `loop` and `backlog`: what logging does to an event loop, told by how late a 1 ms ticker wakes.

Beside it agents' tasks wake up at random; in turns they log or do nothing, so that what else the machine does at that
time is in both.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Awaitable
from typing import NoReturn, Self

from benchmarks.measure import Figures
from benchmarks.measure.caller import caller_of
from benchmarks.measure.statistics import quantiles
from benchmarks.peers import Peer
from benchmarks.peers.ours import OnSqlite
from benchmarks.plan import Plan

_TICK_NS = 1_000_000
_WARM_UP = 200
_SETTLE_SECONDS = 0.3
_DRAIN_SECONDS = 60.0
_TURNS = 3
_MILLISECOND = 1_000_000


async def measure(peer: Peer, plan: Plan) -> Figures:
    """With nothing left to do from before; for `plan.loop_seconds` with calls, and as long without."""
    await peer.open()
    await caller_of(peer).batch(0, _WARM_UP)
    await peer.flush()
    async with Ticker(peer, plan) as ticker:
        for _ in range(_TURNS):
            await asyncio.sleep(_SETTLE_SECONDS)
            await ticker.calm(plan.loop_seconds / _TURNS)
            await ticker.loud(asyncio.sleep(plan.loop_seconds / _TURNS))
            await peer.flush()
    await peer.close()
    return ticker.figures()


async def measure_backlog(peer: Peer, plan: Plan) -> Figures:
    """While the process ships the spool that an earlier one left (mode `fill`); without calls before and after."""
    assert isinstance(peer, OnSqlite)
    async with Ticker(peer, plan) as ticker:
        await ticker.calm(plan.loop_seconds / 2)
        await peer.open()
        await peer.flush()  # what a publisher imports and connects at its start is over
        assert peer.has_backlog(), "the backlog was gone before the ticker began"
        await ticker.loud(_drained(peer))
        await peer.flush()
        await asyncio.sleep(_SETTLE_SECONDS)
        await ticker.calm(plan.loop_seconds / 2)
    await peer.close()
    return ticker.figures()


async def fill(peer: Peer, plan: Plan) -> Figures:
    """Leave a backlog behind, as a process that is killed does."""
    await peer.open()
    return {"wall_ns": await caller_of(peer).batch(0, plan.backlog) / plan.backlog}


async def _drained(peer: OnSqlite) -> None:
    async with asyncio.timeout(_DRAIN_SECONDS):
        while peer.has_backlog():  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.05)


class Ticker:
    """A ticker beside tasks that call a peer in loud turns only."""

    def __init__(self, peer: Peer, plan: Plan) -> None:
        self._caller = caller_of(peer)
        self._plan = plan
        self._calls = 0
        self._calm: list[int] = []
        self._loud: list[int] = []
        self._heard: list[int] | None = None
        """Which of the two the present turn adds to; nothing is heard between turns."""
        self._seconds = self._cpu = self._loop_cpu = 0.0

    async def __aenter__(self) -> Self:
        plan = self._plan
        agents = (self._agent(plan.tasks / plan.rate, random.Random(seed)) for seed in range(plan.tasks))  # noqa: S311 - jitter
        self._tasks = [asyncio.create_task(job) for job in (self._tick(), *agents)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def calm(self, seconds: float) -> None:
        await self._turn(self._calm, asyncio.sleep(seconds))

    async def loud(self, until: Awaitable[object]) -> None:
        cpu, loop_cpu, begin = time.process_time(), time.thread_time(), time.perf_counter()
        await self._turn(self._loud, until)
        self._seconds += time.perf_counter() - begin
        self._cpu += time.process_time() - cpu
        self._loop_cpu += time.thread_time() - loop_cpu

    def figures(self) -> Figures:
        """`late_` is that of loud turns, `calm_` that of the others, and `added_` what the one has over the other."""
        found = quantiles(self._loud, _MILLISECOND, "late_{}_ms") | quantiles(self._calm, _MILLISECOND, "calm_{}_ms")
        count = max(1, self._calls)
        return found | {
            "added_p999_ms": found["late_p999_ms"] - found["calm_p999_ms"],
            "seconds_s": self._seconds,
            "events_per_s": count / self._seconds,
            "loop_cpu_share": self._loop_cpu / self._seconds,
            "total_cpu_ns": self._cpu * 1e9 / count,
        }

    async def _turn(self, heard: list[int], until: Awaitable[object]) -> None:
        gc.collect()
        gc.freeze()  # full collections of the start-up heap take milliseconds, with any peer or none
        self._heard = heard
        try:
            await until
        finally:
            self._heard = None

    async def _tick(self) -> NoReturn:
        while True:
            heard, begin = self._heard, time.perf_counter_ns()
            await asyncio.sleep(_TICK_NS / 1e9)
            if heard is not None and heard is self._heard:
                heard.append(time.perf_counter_ns() - begin - _TICK_NS)

    async def _agent(self, period: float, draw: random.Random) -> NoReturn:
        await asyncio.sleep(draw.random() * period)
        while True:
            if self._heard is self._loud:
                self._calls += 1
                await self._caller.batch(self._calls, 1)
            await asyncio.sleep(draw.uniform(0.5, 1.5) * period)
