"""Sampling: which runs get a document with all they said, and which only a stub.

`stage.py` is the stage; `conditions.py` and `outcomes.py` are the parts that policies are made of, `facts.py` what they
know of a run. A drop can be taken back while the events topic still has the run: see `rescue.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from tailrace.bus.topics import Topics
from tailrace.config import Config
from tailrace.consumer import Progress
from tailrace_consumers.consume import Plan, consume
from tailrace_consumers.sample.rescue import RecallSink
from tailrace_consumers.sample.stage import SampleStage

__all__ = ["SampleStage", "consumer", "plan"]


_MAX_RECORDS = 2_000
"""As many as a fetch may bring: what a batch has of one run is taken in together."""


def plan(config: Config) -> Plan:
    """Raises ConfigError where a policy's own function cannot be found."""
    topics = Topics(config.prefix)
    return Plan(
        "sample",
        SampleStage(topics, config.sample),
        reads=topics.all_events,
        creates=(topics.documents,),
        sink=lambda bus: RecallSink(bus, config),
        max_records=_MAX_RECORDS,
    )


async def consumer(
    config: Config,
    *,
    until: Literal["cancelled", "caught_up"] = "cancelled",
    report: Callable[[Progress], None] | None = None,
) -> list[Progress]:
    """The entry point `sample`; see `tailrace.consumer.Consumer`."""
    return await consume(config, [plan(config)], until=until, report=report)
