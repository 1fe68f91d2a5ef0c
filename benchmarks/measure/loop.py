"""Modes `loop` and `backlog`: what logging does to an event loop, told by how late a 1 ms ticker wakes."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

from benchmarks.measure import Figures
from benchmarks.measure.caller import Caller, caller_of
from benchmarks.measure.statistics import quantiles
from benchmarks.peers import Peer
from benchmarks.peers.ours import OnSqlite
from benchmarks.plan import Plan

_TICK_NS = 1_000_000
_WARM_UP = 200
_SETTLE_SECONDS = 0.3
_DRAIN_SECONDS = 60.0


async def measure(peer: Peer, plan: Plan) -> Figures:
    """For a fixed time, with nothing left to do from before."""
    await peer.open()
    await caller_of(peer).batch(0, _WARM_UP)
    await peer.flush()
    await asyncio.sleep(_SETTLE_SECONDS)
    return await _beside_ticker(peer, plan, lambda: asyncio.sleep(plan.loop_seconds))


async def measure_backlog(peer: Peer, plan: Plan) -> Figures:
    """While the process ships the spool that an earlier one left (mode `fill`)."""
    assert isinstance(peer, OnSqlite)
    await peer.open()
    await peer.flush()  # what a publisher imports and connects at its start is over
    assert peer.has_backlog(), "the backlog was gone before the ticker began"

    async def drained() -> None:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while peer.has_backlog():  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.05)

    return await _beside_ticker(peer, plan, drained)


async def fill(peer: Peer, plan: Plan) -> Figures:
    """Leave a backlog behind, as a process that is killed does."""
    await peer.open()
    return {"wall_ns": await caller_of(peer).batch(0, plan.backlog) / plan.backlog}


async def _beside_ticker(peer: Peer, plan: Plan, until: Callable[[], Awaitable[None]]) -> Figures:
    gc.collect()
    gc.freeze()  # full collections of the start-up heap take milliseconds, with any peer or none
    late: list[int] = []
    counter = itertools.count()
    caller = caller_of(peer)
    agents = (_agent(caller, counter, plan.tasks / plan.rate, random.Random(seed)) for seed in range(plan.tasks))  # noqa: S311 - jitter
    cpu, loop_cpu, begin = time.process_time_ns(), time.thread_time_ns(), time.perf_counter()
    tasks = [asyncio.create_task(job) for job in (_ticker(late), *agents)]
    try:
        await until()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    seconds = time.perf_counter() - begin
    loop_cpu = time.thread_time_ns() - loop_cpu
    count = max(1, next(counter))
    await peer.flush()
    await peer.close()
    return quantiles(late, 1_000_000, "late_{}_ms") | {
        "seconds_s": seconds,
        "events_per_s": count / seconds,
        "loop_cpu_share": loop_cpu / 1e9 / seconds,
        "total_cpu_ns": (time.process_time_ns() - cpu) / count,
    }


async def _ticker(late: list[int]) -> NoReturn:
    while True:
        begin = time.perf_counter_ns()
        await asyncio.sleep(_TICK_NS / 1e9)
        late.append(time.perf_counter_ns() - begin - _TICK_NS)


async def _agent(caller: Caller, counter: itertools.count[int], period: float, draw: random.Random) -> NoReturn:
    await asyncio.sleep(draw.random() * period)
    while True:
        await caller.batch(next(counter), 1)
        await asyncio.sleep(draw.uniform(0.5, 1.5) * period)
