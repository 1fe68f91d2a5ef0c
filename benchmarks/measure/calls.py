"""Mode `call`: a burst in batches, one call by call, calls at a steady rate, and a burst in turns with the floor."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time

from benchmarks.measure import Figures
from benchmarks.measure.caller import Caller, caller_of
from benchmarks.measure.statistics import peak_mib, quantiles, resident_mib
from benchmarks.measure.yardstick import Yardstick
from benchmarks.peers import Peer
from benchmarks.plan import Plan

_BATCH = 100
_WARM_UP = 1_000
_TICK_SECONDS = 0.005


async def measure(peer: Peer, plan: Plan) -> Figures:
    before = resident_mib()
    await peer.open()
    caller = caller_of(peer)
    await caller.batch(0, min(_WARM_UP, plan.events))
    await peer.flush()
    floor = await Yardstick.opened(peer)
    before_it = await floor.cpu_ns()
    found = await _burst(peer, caller, plan)
    found |= _in_floors(found, (before_it + await floor.cpu_ns()) / 2)
    found |= await _single(peer, caller, plan)
    found |= await _paced(peer, caller, plan)
    found["rss_mib"] = peak_mib() - before  # before the floor keeps as much again
    found["wall_floors"] = await floor.wall_floors(caller, plan.burst_seconds)
    await peer.flush()
    await peer.close()
    return found


async def _burst(peer: Peer, caller: Caller, plan: Plan) -> Figures:
    """As fast as it goes. The caller's CPU ends with the last call, the process's when all is in the sink."""
    gc.collect()
    delivered = peer.delivered()
    times: list[float] = []
    cpu, caller_cpu, begin = time.process_time_ns(), time.thread_time_ns(), time.perf_counter()
    elsewhere = peer.elsewhere_cpu_ns()
    while len(times) * _BATCH < plan.events and time.perf_counter() - begin < plan.burst_seconds:
        times.append(await caller.batch(len(times) * _BATCH, _BATCH) / _BATCH)
    caller_cpu = time.thread_time_ns() - caller_cpu
    called = time.perf_counter()
    await peer.flush()
    count = len(times) * _BATCH
    found = {
        "wall_ns": statistics.median(times),
        "mean_ns": statistics.fmean(times),
        "process_cpu_ns": (time.process_time_ns() - cpu) / count,
        "elsewhere_cpu_ns": (peer.elsewhere_cpu_ns() - elsewhere) / count,
        "flush_s": time.perf_counter() - called,
    }
    found["total_cpu_ns"] = found["process_cpu_ns"] + found["elsewhere_cpu_ns"]
    # An awaited client sends on the caller's own loop: what it does until all is sent is the caller's cost.
    found["caller_cpu_ns"] = found["total_cpu_ns"] if peer.is_async else caller_cpu / count
    arrived = peer.delivered()
    if delivered is not None and arrived is not None:
        found["delivered_share"] = (arrived - delivered) / count
    return found


def _in_floors(found: Figures, floor_ns: float) -> Figures:
    return {f"{kind}_cpu_floors": found[f"{kind}_cpu_ns"] / floor_ns for kind in ("process", "total")}


async def _single(peer: Peer, caller: Caller, plan: Plan) -> Figures:
    gc.collect()
    timings: list[int] = []
    begin = time.perf_counter()
    while len(timings) < plan.events and time.perf_counter() - begin < plan.burst_seconds:
        timings += await caller.each(len(timings), _BATCH)
    await peer.flush()
    return quantiles(timings, 1, "single_{}_ns")


async def _paced(peer: Peer, caller: Caller, plan: Plan) -> Figures:
    """A few calls every 5 ms: caches are cold, and background threads get their turn in between."""
    gc.collect()
    timings: list[int] = []
    together = max(1, round(plan.rate * _TICK_SECONDS))
    begin = time.perf_counter()
    for tick in range(max(1, round(plan.paced_seconds / _TICK_SECONDS))):
        await asyncio.sleep(begin + tick * _TICK_SECONDS - time.perf_counter())
        timings += await caller.each(len(timings), together)
    await peer.flush()
    return quantiles(timings, 1, "paced_{}_ns")
