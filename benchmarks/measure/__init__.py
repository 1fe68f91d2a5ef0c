"""What is measured of a peer. Each mode runs in a fresh process, on an event loop, and returns figures by name.

A figure's name ends with its unit: `_ns` per event, `_ms`, `_s`, `_mib`, `_per_s`; `_share` is from 0 to 1; `_floors`
says how many times what the floor takes, in the same process and the same second.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from benchmarks.peers import Peer
from benchmarks.plan import Plan

Figures = dict[str, float]
Measure = Callable[[Peer, Plan], Awaitable[Figures]]
