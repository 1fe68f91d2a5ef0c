"""One measurement in a process of its own: `python -m benchmarks.consumers.worker ORDER-AS-JSON`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from benchmarks.consumers import bulk, latency, stages
from benchmarks.consumers.plan import FIGURES, Order
from benchmarks.measure import Figures
from tailrace_consumers.process import memory_of_a_worker

MEASURES: dict[tuple[str, str], Callable[[Order], Awaitable[Figures]]] = {
    ("job", "tailrace"): stages.job,
    ("sample", "tailrace"): stages.sample,
    ("chain", "tailrace"): stages.chain,
    ("index", "tailrace"): stages.index,
    ("index", "streaming_bulk"): bulk.bare,
    ("index", "bulk_no_fields"): bulk.unindexed,
    ("index", "bulk_same_fields"): bulk.same_fields,
    ("open", "many"): stages.aggregate,
    ("open", "few"): stages.aggregate,
    ("long", "tailrace"): stages.aggregate,
    ("latency", "tailrace"): latency.measure,
}
"""By mode and peer."""


def main() -> None:
    order = msgspec.json.decode(sys.argv[1], type=Order)
    with memory_of_a_worker():  # as `consume` does
        figures = asyncio.run(MEASURES[order.mode, order.peer](order))
    Path(order.directory, FIGURES).write_bytes(msgspec.json.encode(figures))


if __name__ == "__main__":
    main()
