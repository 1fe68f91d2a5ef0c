"""The three stages in one process, on one bus and one store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tailrace.config import Config
from tailrace.consumer import Progress
from tailrace_consumers import aggregate, index, sample
from tailrace_consumers.consume import consume


async def consumer(
    config: Config,
    *,
    until: Literal["cancelled", "caught_up"] = "cancelled",
    report: Callable[[Progress], None] | None = None,
) -> list[Progress]:
    """The entry point `all`; see `tailrace.consumer.Consumer`. Caught up: one stage after the other, to the end."""
    plans = [sample.plan(config), aggregate.plan(config), index.plan(config)]
    return await consume(config, plans, until=until, report=report)
