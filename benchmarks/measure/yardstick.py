"""The floor beside a peer, in the peer's process: a host that is slow for a second is slow for both."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from benchmarks.measure.caller import Caller, caller_of
from benchmarks.payloads import DISTINCT
from benchmarks.peers import Peer
from benchmarks.peers.reference import Floor

_BATCH = 100
_BATCHES = 200
_CPU_CALLS = 2_000


class Yardstick:
    """Calls the floor. Beside a peer with threads of its own it is slow too, which only makes that peer look better."""

    def __init__(self, floor: Floor, caller: Caller) -> None:
        self._floor = floor
        self._caller = caller

    @classmethod
    async def opened(cls, peer: Peer) -> Yardstick:
        """One that logs the peer's payloads."""
        floor = Floor(peer.pool, Path(peer.directory), "", "")
        await floor.open()
        return cls(floor, caller_of(floor))

    async def wall_floors(self, caller: Caller, seconds: float) -> float:
        """What a call takes in floors: the median over batches of each, taken in turns.

        The floor is half a round of payloads ahead: neither finds in the processor's caches what the other read. It
        keeps its events to the end, as it does alone.
        """
        ratios: list[float] = []
        begin = time.perf_counter()
        while len(ratios) < _BATCHES and time.perf_counter() - begin < seconds:
            first = len(ratios) * _BATCH
            took = await caller.batch(first, _BATCH)
            ratios.append(took / await self._caller.batch(first + DISTINCT // 2, _BATCH))
        await self._floor.flush()
        return statistics.median(ratios)

    async def cpu_ns(self) -> float:
        """CPU of one call."""
        begin = time.thread_time_ns()
        await self._caller.batch(0, _CPU_CALLS)
        taken = time.thread_time_ns() - begin
        await self._floor.flush()
        return taken / _CPU_CALLS
