"""Reading what stands on topics, to its end, also where more keeps coming."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence

from tailrace.bus import Bus, Received, Start

_AT_ONCE = 1000
_WAIT = 0.5
"""Seconds that one receive may wait; it is repeated until all is read."""
_SKEW = 5.0
"""Seconds by which the bus's clock may be ahead of this machine's."""
_PATIENCE = 3.0
"""Seconds without a record from before the beginning, after which there are none."""


async def history(bus: Bus, topics: str, start: Start) -> AsyncGenerator[Sequence[Received]]:
    """The records from `start` to at least those that the bus had when this began, and perhaps some that came since.

    Raises:
        BusError: the bus cannot be read.
    """
    until = time.time() + _SKEW
    heard = time.monotonic()
    async with bus.subscribe(topics, start=start) as subscription:
        while True:
            batch = await subscription.receive(max_records=_AT_ONCE, wait=_WAIT)
            yield batch.records
            if any(record.timestamp <= until for record in batch.records):
                heard = time.monotonic()
            # A topic that is written to all the time is never caught up with.
            if batch.caught_up or time.monotonic() > heard + _PATIENCE:
                return
