"""How long it takes from a call to being read, at 1,000 calls a second, with everything as it is run in production.

One agent process with its companion, the three consumers as processes of their own, `tailrace tail -f` on a pipe, and
a reader of the store. An event counts as

- tailed, when its line has come out of `tailrace tail -f`, in the form for people;
- shown, when the document that `Store.get` gives holds it, as `tailrace show` would print it: asked of a few runs at a
  time, each from its begin to its end;
- found, when a search lists its run with a count of events that it is among, as `tailrace runs` would: asked of all
  runs. A run has one producer here, whose events keep their order, so the count says which are among them.

Besides, by the times at which Kafka took the records: published, sampled, and joined into a document, whole or in part.

The reader asks again as soon as it was answered, with a pause; what that adds is in the figures. The clock is the wall
clock: all are on one machine. Measured is what comes after `warm_seconds` of the same, in which topics,
indexes and groups are made and most of the search server's code is compiled: for that it takes half a processor for
minutes.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from asyncio import subprocess
from asyncio.subprocess import Process
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import msgspec

from benchmarks.consumers import job
from benchmarks.consumers.agent import BEFORE_CALLS, WORKFLOW
from benchmarks.consumers.plan import Order
from benchmarks.measure import Figures
from benchmarks.measure.statistics import quantiles
from tailrace.bus.topics import Topics
from tailrace.config import Config
from tailrace.event import types
from tailrace.registry import open_bus, open_store
from tailrace.store import Query, Store
from tailrace.store.reading import read_whole

RATE = 1_000
"""Calls a second."""
_OPEN, _CALLS_A_RUN = 50, job.EVENTS_A_RUN - 4
"""The runs are of the size of the job's; each goes on for two to three seconds."""
_FOLLOWED = 2
_LISTED = 500
"""Runs that a search tells of: those that began in the last twenty seconds or so."""
_SEARCH_PAUSE, _SHOW_PAUSE = 0.25, 0.5
"""Seconds between two questions to the store: a get by id of what was just written makes the server refresh its index,
so that few are asked, as people do."""
_PAUSE = 0.05
_LATE_SECONDS = 60.0
_NS = 1_000_000_000
AT = re.compile(rb'"at":(\d{19})')
"""A call's own time, in its event, in a document and in a line: no two calls have the same."""

_Times = Mapping[str, list[int]]


async def measure(order: Order) -> Figures:
    """Seconds from a call to each of the three, as quantiles over the calls; `events` are the calls."""
    config = Config(
        prefix=order.group,
        bus=f"kafka://{order.kafka}",
        store=f"opensearch://{order.opensearch}",
        home=f"{order.directory}/home",
    )
    sizes = (str(RATE), str(order.warm_seconds), str(order.events // RATE), str(_OPEN), str(_CALLS_A_RUN))
    tailed: dict[int, int] = {}
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        for stage in ("sample", "aggregate", "index"):
            await enter(_process(config, "tailrace.cli", "consume", stage))
        tail = await enter(_process(config, "tailrace.cli", "tail", "-f"))
        agent = await enter(_process(config, "benchmarks.consumers.agent", *sizes))
        reader = Reader(await enter(aclosing(open_store(config))))
        async with asyncio.TaskGroup() as group:
            followers = (reader.show_on() for _ in range(_FOLLOWED))
            watching = [group.create_task(each) for each in (_read(tail, tailed), reader.search_on(), *followers)]
            await _all_seen(await _told(agent, reader), tailed, reader, _LATE_SECONDS)
            assert agent.stdin is not None
            agent.stdin.write(b"\n")
            logged = await _told(agent, reader)
            await _all_seen(logged, tailed, reader, _LATE_SECONDS)
            for task in watching:
                task.cancel()
        taken = await _taken(config)
    calls = [at for times in logged.values() for at in times]
    figures: Figures = {"events": len(calls), "wall_s": (max(calls) - min(calls)) / _NS}
    after = {
        **{name: [times[at] - at for at in calls] for name, times in taken.items()},
        "tailed": [tailed[at] - at for at in calls],
        "shown": [reader.shown[at] - at for at in calls if at in reader.shown],  # of the runs that were followed
        "found": list(reader.found_after(logged)),
    }
    for name, nanoseconds in after.items():
        figures |= {f"{name}_events": len(nanoseconds), **quantiles(nanoseconds, _NS, f"{name}_{{}}_s")}
    return figures


@asynccontextmanager
async def _process(config: Config, module: str, *arguments: str) -> AsyncIterator[Process]:
    """A process with these settings, told to end at the end; what it says on stderr goes to this one's."""
    settings = {"BUS": config.bus, "STORE": config.store, "PREFIX": config.prefix, "HOME": config.home}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=1 << 24,
        env={**os.environ, **{f"TAILRACE_{name}": str(value) for name, value in settings.items()}},
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _told(agent: Process, reader: Reader) -> _Times:
    """What the agent has logged, once it tells; the reader learns of each run that it begins."""
    assert agent.stdout is not None
    while isinstance(told := msgspec.json.decode(await agent.stdout.readline(), type=dict[str, list[int]] | str), str):
        reader.begun.append(told)
    return told


async def _read(tail: Process, tailed: dict[int, int]) -> None:
    """Notes when the line of each call came."""
    assert tail.stdout is not None
    async for line in tail.stdout:
        if found := AT.search(line):
            tailed.setdefault(int(found[1]), time.time_ns())


async def _all_seen(logged: _Times, tailed: Mapping[int, int], reader: Reader, seconds: float) -> None:
    """Returns when every call was tailed and found."""
    deadline = time.monotonic() + seconds
    while True:
        silent = sum(at not in tailed for times in logged.values() for at in times)
        hidden = sum(reader.found(run) < len(times) + BEFORE_CALLS for run, times in logged.items())
        if not silent and not hidden:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{silent} calls never tailed, {hidden} runs never found whole, {seconds:.0f} s after")
        await asyncio.sleep(_PAUSE)


async def _taken(config: Config) -> dict[str, dict[int, int]]:
    """When Kafka took each call's event, the same once it was sampled, and the first document that holds it."""
    topics = Topics(config.prefix)
    found: dict[str, dict[int, int]] = {}
    async with aclosing(open_bus(config)) as bus:
        for name, topic in (
            ("published", topics.all_events),
            ("sampled", topics.all_sampled),
            ("joined", topics.documents),
        ):
            times = found[name] = {}
            async with bus.subscribe(topic) as subscription:
                while not (batch := await subscription.receive()).caught_up:
                    for record in batch.records:
                        for at in AT.findall(record.value):
                            times.setdefault(int(at), round(record.timestamp * _NS))
    return found


class Reader:
    """Asks the store, and notes when what was there first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._counts: dict[str, list[tuple[int, int]]] = {}
        """Run -> (nanoseconds, events that its summary counts), whenever that rose."""
        self.begun: deque[str] = deque(maxlen=_FOLLOWED)
        """The newest runs that nobody follows yet."""
        self.shown: dict[int, int] = {}

    def found(self, run: str) -> int:
        """Of how many events a search has told."""
        return self._counts[run][-1][1] if run in self._counts else 0

    def note(self, run: str, now: int, count: int) -> None:
        """A search has told that many events of the run."""
        if count > self.found(run):
            self._counts.setdefault(run, []).append((now, count))

    def found_after(self, logged: _Times) -> Iterator[int]:
        """Nanoseconds from each call until it was among the events told of its run, in order."""
        for run, times in logged.items():
            seen = iter(self._counts[run])
            now, count = next(seen)
            for place, at in enumerate(times, BEFORE_CALLS + 1):
                while count < place:
                    now, count = next(seen)
                yield now - at

    async def search_on(self) -> None:
        while True:
            page = await self._store.search(Query(workflows=(WORKFLOW,), limit=_LISTED))
            now = time.time_ns()
            for summary in page.runs:
                self.note(summary.run_id, now, summary.counts["events"])
            await asyncio.sleep(_SEARCH_PAUSE)

    async def show_on(self) -> None:
        """Follows a run from its begin to its end, then another one."""
        while True:
            run = self.begun.pop() if self.begun else None
            while run is not None:
                document = await read_whole(self._store, run)
                now = time.time_ns()
                events = document.events.values() if document else ()
                for event in events:
                    if found := AT.search(bytes(event.data)):
                        self.shown.setdefault(int(found[1]), now)
                if any(event.type == types.RUN_END for event in events):
                    break
                await asyncio.sleep(_SHOW_PAUSE)
            await asyncio.sleep(_PAUSE)
