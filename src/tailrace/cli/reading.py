"""Reading topics from a time on, to the end of what is there or further."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

import anyio

from tailrace.bus import Batch, Bus, Start
from tailrace.bus.gathering import rest_after
from tailrace.event.ids import parse_time
from tailrace.store.grammar import parse

_WAIT = 1.0
_LAST_WAIT = 0.1
"""Seconds to wait for more, where the end of what is there ends the reading."""


def start_of(since: str | None) -> Start:
    """`15m`, `2h`, `3d` ago, or a time; None: the first record.

    Raises:
        QueryError: it is none of these.
    """
    if since is None:
        return "earliest"
    text = parse(f"since:{since}", now=time.time()).since
    seconds = parse_time(text) if text else None
    return "earliest" if seconds is None else seconds


async def batches(bus: Bus, *topics: str, start: Start, follow: bool = False) -> AsyncGenerator[Batch, None]:
    """What is there from `start` on, the last batch caught up; with `follow` for ever."""
    async with bus.subscribe(*topics, start=start) as subscription:
        while True:
            batch = await subscription.receive(wait=_WAIT if follow else _LAST_WAIT)
            came = time.monotonic()
            yield batch
            if batch.caught_up and not follow:
                return
            if follow:
                await anyio.sleep(rest_after(batch, time.monotonic() - came))
