"""Stages on a real Kafka, in the loop that runs them in production, from the first batch to the last commit."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio

from benchmarks.consumers.plan import Order
from benchmarks.measure import Figures
from benchmarks.measure.statistics import peak_mib
from tailrace.bus import Bus, Partition, Received
from tailrace.bus.topics import Topics
from tailrace.config import AggregateSettings, Config
from tailrace.consumer import Progress
from tailrace.registry import open_bus, open_store
from tailrace.sampling import SampleSettings
from tailrace_consumers.aggregate import plan as plan_aggregate
from tailrace_consumers.consume import Plan, sink_of
from tailrace_consumers.dead_letters import DeadLetter, DeadLetters
from tailrace_consumers.index import plan as plan_index
from tailrace_consumers.retry import Retry
from tailrace_consumers.runner import Runner
from tailrace_consumers.sample import plan as plan_sample
from tailrace_consumers.sinks import Sink, StoreSink
from tailrace_consumers.stage import Merge, Stage

_COMPLETE = ("tr-state", b"complete")
_ERRORS_AND_RATE = SampleSettings(rate=0.5, keep_errors=True)


class Watch:
    """From the first record fed on."""

    def __init__(self) -> None:
        self.begun: tuple[float, float] | None = None

    def begin(self) -> None:
        if self.begun is None:
            self.begun = (time.perf_counter(), time.process_time())

    def figures(self, **others: float) -> Figures:
        assert self.begun is not None
        wall, cpu = self.begun
        return {
            "wall_s": time.perf_counter() - wall,
            "cpu_s": time.process_time() - cpu,
            "peak_mib": peak_mib(),
            **others,
        }


class Watched:
    """A stage, and the runner's stop as soon as it has been fed everything."""

    def __init__(self, stage: Stage[Any], expected: int, watch: Watch) -> None:
        self._stage = stage
        self._left = expected
        self._watch = watch
        self.runner: Runner[Any] | None = None

    def written(self) -> None:
        """What came of the last batch is written: stop if it was the last one."""
        if self._left <= 0 and self.runner:
            self.runner.stop()

    def feed(self, records: Sequence[Received], now: float) -> Iterable[Any | DeadLetter]:
        self._watch.begin()
        output = list(self._stage.feed(records, now))
        self._left -= len(records)
        return output

    def tick(self, now: float) -> Iterable[Any | DeadLetter]:
        return self._stage.tick(now)

    def finish(self, now: float, *, caught_up: bool) -> Iterable[Any | DeadLetter]:
        return self._stage.finish(now, caught_up=caught_up)

    def held(self) -> Mapping[Partition, int]:
        self.written()  # asked for committing, so nothing came of the last batch that is not written
        return self._stage.held()

    def forget(self, partitions: Collection[Partition]) -> None:
        self._stage.forget(partitions)

    def counts(self) -> Mapping[str, int]:
        return self._stage.counts()


_NO_LIVE_VIEW = AggregateSettings(live_after=3_600.0)
"""So that on a slow machine too the job is what it says: one document a run."""


async def job(order: Order) -> Figures:
    config = _config(order, aggregate=_NO_LIVE_VIEW)
    return await _alone(order, config, plan_aggregate(config), order.events)


async def aggregate(order: Order) -> Figures:
    """With the default settings: live view, and bounded memory."""
    config = _config(order)
    return await _alone(order, config, plan_aggregate(config), order.events)


async def sample(order: Order) -> Figures:
    """A tail policy: half of the runs by their id, of the others those with an error."""
    config = _config(order, sample=_ERRORS_AND_RATE)
    return await _alone(order, config, plan_sample(config), order.events)


async def index(order: Order) -> Figures:
    """Documents from the topic into OpenSearch, where no earlier round has put them."""
    config = _config(order, f"opensearch://{order.opensearch}?index_prefix={order.group}")
    return await _alone(order, config, plan_index(config), order.runs)


async def chain(order: Order) -> Figures:
    """`consume all`: sample (which keeps everything), aggregate and index into SQLite, in one process."""
    config = _config(order, f"sqlite:///{Path(order.directory, 'store.db')}")
    watch, done = Watch(), anyio.Event()
    async with AsyncExitStack() as stack:
        bus, store = open_bus(config), open_store(config)
        stack.push_async_callback(bus.aclose)
        stack.push_async_callback(store.aclose)
        topics = Topics(order.prefix)
        await bus.create_topics((topics.documents,))  # as `consume` does before it reads
        sampling, aggregating, indexing = plan_sample(config), plan_aggregate(config), plan_index(config)
        watched = Watched(sampling.stage, order.events, watch)
        runners = [
            (_runner(bus, topics, sampling, watched, sink_of(sampling, bus, store)), sampling.reads),
            (_runner(bus, topics, aggregating, aggregating.stage, sink_of(aggregating, bus, store)), aggregating.reads),
            (
                _runner(bus, topics, indexing, indexing.stage, _Whole(StoreSink(store), order.runs, done)),
                indexing.reads,
            ),
        ]
        async with anyio.create_task_group() as stages:
            for runner, reads in runners:
                stages.start_soon(_run, bus, runner, reads, f"{order.group}-{reads.rstrip('*')}")
            await done.wait()
            figures = watch.figures(events=order.events)
            for runner, _ in runners:
                runner.stop()
    return figures


class _Whole:
    """A sink that tells when so many runs have come with their end."""

    def __init__(self, sink: Sink[Merge], runs: int, done: anyio.Event) -> None:
        self._sink = sink
        self._left = runs
        self._done = done
        self._seen: set[str] = set()

    async def write(self, items: Sequence[Merge]) -> list[DeadLetter]:
        refused = await self._sink.write(items)
        self._seen |= {item.document.run_id for item in items if _has_ended(item)}
        if len(self._seen) >= self._left:
            self._done.set()
        return refused


def _has_ended(item: Merge) -> bool:
    """By what the aggregator says of the documents: reading their events would be a ninth of what is measured."""
    return any(_COMPLETE in source.headers for source in item.sources)


class _Telling:
    """A sink that tells a stage when it has written."""

    def __init__(self, sink: Sink[Any], watched: Watched) -> None:
        self._sink = sink
        self._watched = watched

    async def write(self, items: Sequence[Any]) -> list[DeadLetter]:
        refused = await self._sink.write(items)
        self._watched.written()
        return refused


async def _alone(order: Order, config: Config, plan: Plan, records: int) -> Figures:
    watch = Watch()
    watched = Watched(plan.stage, records, watch)
    async with AsyncExitStack() as stack:
        bus, store = open_bus(config), open_store(config)
        stack.push_async_callback(bus.aclose)
        stack.push_async_callback(store.aclose)
        sink = _Telling(sink_of(plan, bus, store), watched)
        runner = watched.runner = _runner(bus, Topics(order.prefix), plan, watched, sink)
        await _run(bus, runner, plan.reads, order.group)
        written = runner.progress.written
        assert not runner.progress.dead, f"{runner.progress.dead} dead letters"
        # An index stage is fed documents, and events are not what it is measured by.
        return watch.figures(documents=written) | ({} if order.mode == "index" else {"events": records})


def _runner(bus: Bus, topics: Topics, plan: Plan, stage: Stage[Any], sink: Sink[Any]) -> Runner[Any]:
    """For a plan, whose stage is watched."""

    async def backlog() -> int:
        return 0

    return Runner(
        stage,
        sink,
        DeadLetters(bus, topics.dead, "bench"),
        Retry(Progress("bench")),
        backlog=backlog,
        max_records=plan.max_records,
        max_bytes=plan.max_bytes,
    )


async def _run(bus: Bus, runner: Runner[Any], reads: str, group: str) -> None:
    async with AsyncExitStack() as stack:
        await runner.run(lambda: stack.enter_async_context(bus.subscribe(reads, group=group)))


def _config(order: Order, store: str = "memory:", **settings: Any) -> Config:
    return Config(prefix=order.prefix, bus=f"kafka://{order.kafka}", store=store, **settings)
