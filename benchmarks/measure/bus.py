"""Modes `sustained` and `outage`: what the bus lets through, and what its absence costs."""

from __future__ import annotations

import asyncio
import time

from benchmarks.measure import Figures
from benchmarks.measure.caller import caller_of
from benchmarks.measure.statistics import resident_mib
from benchmarks.peers import Peer
from benchmarks.peers.ours import OnKafka
from benchmarks.plan import Plan

_WARM_UP = 1_000
_BATCH = 100
_NOTICE_SECONDS = 30.0
_TICK_SECONDS = 0.005
_LOOK_SECONDS = 0.25


async def measure_sustained(peer: Peer, plan: Plan) -> Figures:
    """One process, as fast as it goes, until the bus has acknowledged all of it."""
    await peer.open()
    caller = caller_of(peer)
    await caller.batch(0, _WARM_UP)
    await peer.flush()
    before = peer.delivered() or 0
    cpu, begin = time.process_time_ns(), time.perf_counter()
    for first in range(0, plan.sustained_events, _BATCH):
        await caller.batch(first, _BATCH)
    await peer.flush()
    seconds = time.perf_counter() - begin
    cpu = time.process_time_ns() - cpu
    delivered = (peer.delivered() or 0) - before
    await peer.close()
    return {
        "delivered_per_s": delivered / seconds,
        "delivered_share": delivered / plan.sustained_events,
        "total_cpu_ns": cpu / plan.sustained_events,
    }


async def measure_outage(peer: Peer, plan: Plan) -> Figures:
    """Growth of the memory in RAM while the bus refuses connections and events come at the plan's rate."""
    assert isinstance(peer, OnKafka)
    await peer.open()
    caller = caller_of(peer)
    await caller.batch(0, _WARM_UP)
    async with asyncio.timeout(_NOTICE_SECONDS):
        while not peer.is_cut_off():  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(_LOOK_SECONDS)
    before = most = resident_mib()
    together = max(1, round(plan.rate * _TICK_SECONDS))
    begin = looked = time.perf_counter()
    for tick in range(round(plan.outage_seconds / _TICK_SECONDS)):
        await asyncio.sleep(begin + tick * _TICK_SECONDS - time.perf_counter())
        await caller.batch(tick * together, together)
        if time.perf_counter() - looked >= _LOOK_SECONDS:
            looked = time.perf_counter()
            most = max(most, resident_mib())
    seconds = time.perf_counter() - begin
    return {"growth_mib": max(most, resident_mib()) - before, "seconds_s": seconds}
