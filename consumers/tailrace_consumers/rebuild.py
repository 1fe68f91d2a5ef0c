"""A store filled anew from `<prefix>.documents`, as far as the topic's retention reaches back.

From the documents, not from `<prefix>.sampled.*`: they are what the index stage wrote the store from, stubs of dropped
runs and `abandoned` among them, so joining them again in any order gives equal documents, at no cost of deciding or
aggregating anew. Nothing is committed, and the consumers may go on meanwhile: a store joins what it is given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial

from tailrace.bus import Start
from tailrace.bus.topics import Topics
from tailrace.config import Config
from tailrace.consumer import Progress
from tailrace.registry import open_bus, open_store
from tailrace_consumers.dead_letters import DeadLetter
from tailrace_consumers.index import MAX_RECORDS, IndexStage
from tailrace_consumers.retry import Retry
from tailrace_consumers.sinks import StoreSink
from tailrace_consumers.stage import Merge

_WAIT = 0.1
"""Seconds to wait for more before asking whether this was all."""


async def rebuild(
    config: Config, *, since: Start = "earliest", report: Callable[[Progress], None] | None = None
) -> Progress:
    """See `tailrace.consumer.Rebuild`."""
    retry = Retry(Progress("rebuild"), report)
    stage = IndexStage()
    async with aclosing(open_bus(config)) as bus, aclosing(open_store(config)) as store:
        sink = StoreSink(store)
        async with bus.subscribe(Topics(config.prefix).documents, start=since) as subscription:
            limits = {"max_records": MAX_RECORDS, "max_bytes": config.index.max_joined_bytes}
            receive = partial(subscription.receive, **limits, wait=_WAIT)
            caught_up = False
            while not caught_up:
                batch = await retry("reading", receive)
                await _join(sink, retry, list(stage.feed(batch.records, time.time())))
                retry.progress.received += len(batch.records)
                retry.report()
                caught_up = batch.caught_up
    return retry.progress


async def _join(sink: StoreSink, retry: Retry, output: Sequence[Merge | DeadLetter]) -> None:
    """Dead letters are counted and not written: the index stage has put them aside already."""
    merges = [item for item in output if isinstance(item, Merge)]
    refused = await retry("writing", partial(sink.write, merges)) if merges else []
    retry.progress.written += len(merges) - len(refused)
    retry.progress.dead += len(output) - len(merges) + len(refused)
