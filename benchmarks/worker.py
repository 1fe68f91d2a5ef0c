"""One measurement in a process of its own: `python -m benchmarks.worker ORDER-AS-JSON`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from benchmarks.catalog import PEERS
from benchmarks.measure import Figures, Measure, bus, calls, loop
from benchmarks.payloads import payloads
from benchmarks.plan import Order

FIGURES = "figures.json"
"""File in the order's directory that holds the result."""

MODES: dict[str, Measure] = {
    "call": calls.measure,
    "loop": loop.measure,
    "backlog": loop.measure_backlog,
    "sustained": bus.measure_sustained,
    "outage": bus.measure_outage,
}
HIDDEN: dict[str, Measure] = {"fill": loop.fill}
"""Modes that prepare another one."""


def main() -> None:
    order = msgspec.json.decode(sys.argv[1], type=Order)
    figures = asyncio.run(_figures(order))
    Path(order.directory, FIGURES).write_bytes(msgspec.json.encode(figures))
    os._exit(0)  # what libraries do at exit is no part of the measurement, and mode `fill` must leave its spool


async def _figures(order: Order) -> Figures:
    peer = PEERS[order.peer](payloads(), Path(order.directory), order.kafka, order.http)
    return await (MODES | HIDDEN)[order.mode](peer, order.plan)


if __name__ == "__main__":
    main()
