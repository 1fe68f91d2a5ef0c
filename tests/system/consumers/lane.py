"""One stage with a group, an input and an output of its own, so that no other stage can mend what it breaks."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import reduce
from pathlib import Path
from typing import Any

import anyio
import msgspec

from tailrace.bus.topics import Topics
from tailrace.config import Config, load
from tailrace.consumer import find_consumer
from tailrace.document import Document, collect, join
from tailrace.document.restore import restore
from tailrace.document.view import render
from tailrace.event import Event, decode, types
from tailrace.registry import open_bus, open_store
from tailrace.store import Query
from tailrace.store.reading import read_whole
from tailrace_consumers.sample.outcomes import share
from tests.system.consumers.feed import AsDocuments, Input, as_events
from tests.system.consumers.load import WORKFLOW, Agents
from tests.system.consumers.verdict import Verdict, judge_documents, judge_letters, read_topics
from tests.system.consumers.worker import Settings

RATE = 0.5
_CATCH_UP_SECONDS = 120.0


class Lane:
    """Its workers are the scenario's. The runs of a sample lane all end, so that the stage decides them."""

    def __init__(
        self, stage: str, name: str, bus: str, directory: Path, seed: int, *, unreadable: float, strange_runs: float
    ) -> None:
        self.stage = stage
        self.settings = settings_of(bus, directory, f"{name}-{seed}", partitions=2)
        self.config: Config = load(self.settings)
        topics = Topics(self.config.prefix)
        events = topics.events(WORKFLOW)
        sampled = topics.sampled_of(events)
        chosen = random.Random(f"{seed} {name}")
        agents = Agents(
            name,
            chosen.randrange(1 << 32),
            unended=0.0 if stage == "sample" else 0.1,
            strange_runs=strange_runs,
        )
        self.reads = {"sample": events, "aggregate": sampled, "index": topics.documents}[stage]
        self.writes = {"sample": [sampled], "aggregate": [topics.documents], "index": []}[stage]
        self.dead = topics.dead
        form = AsDocuments(chosen) if stage == "index" else as_events
        self.input = Input(self.reads, form, agents, chosen.randrange(1 << 32), unreadable=unreadable)

    async def create_topics(self) -> None:
        async with aclosing(open_bus(self.config)) as bus:
            await bus.create_topics([self.reads, *self.writes, self.dead])

    async def catch_up(self) -> int:
        """Run the stage until it has committed everything; the records that it has not, if it does not come to it."""
        lag: int | None = None
        # All lanes share this loop: the silence that a worker may keep is too short for them.
        patient = msgspec.structs.replace(self.config, bus=self.config.bus_url.partition("?")[0])
        with anyio.move_on_after(_CATCH_UP_SECONDS):
            while lag != 0:
                (progress,) = await find_consumer(self.stage)(patient, until="caught_up")
                lag = progress.lag
        return lag if lag is not None else self.input.records

    async def judge(self, records: Mapping[str, list[Any]], unread: int) -> Verdict:
        """`records`: of every topic of the lane; `unread`: what `catch_up` gave."""
        values = [record.value() for topic in self.writes for record in records[topic]]
        found = await self._found(values)
        accepted = self.input.accepted
        verdict = judge_documents(kept(accepted) if self.stage == "sample" else accepted, found)
        verdict.unread = unread
        verdict.repeated = len(values) - len(set(values))
        judge_letters(self.input.hostile, [record.value() or b"" for record in records[self.dead]], verdict)
        if self.stage == "sample":
            verdict.unequal += sum(not is_weighed(document) for document in found.values())
        return verdict

    async def _found(self, values: Sequence[bytes]) -> dict[str, Document]:
        """The documents that came out."""
        if self.stage == "sample":
            return collect(map(decode, values))
        return joined(map(restore, values)) if self.stage == "aggregate" else await stored(self.config)


async def judge_lanes(lanes: Sequence[Lane]) -> Verdict:
    """Let each stage read what is left, and compare what came out of all."""
    unread: dict[int, int] = {}

    async def catch_up(number: int) -> None:
        unread[number] = await lanes[number].catch_up()

    async with anyio.create_task_group() as group:
        for number in range(len(lanes)):
            group.start_soon(catch_up, number)
    names = [name for lane in lanes for name in (*lane.writes, lane.dead)]
    records = await anyio.to_thread.run_sync(read_topics, lanes[0].config.bus_url, names)
    total = Verdict()
    for number, lane in enumerate(lanes):
        total.add(await lane.judge(records, unread[number]))
    return total


def settings_of(bus: str, directory: Path, prefix: str, *, partitions: int) -> Settings:
    """Half of the runs are kept, and all that fail. Home and store are in `directory`, the prefix's own.

    However many hostile records come, no stage stops.
    """
    home = directory / prefix
    return {
        "bus": bus,
        "store": f"sqlite:///{home / 'store.db'}",
        "home": str(home),
        "prefix": prefix,
        "topics": {"partitions": partitions},
        "sample": {"rate": RATE, "keep_errors": True, "grace": 1.0, "decision_wait": 300.0},
        "aggregate": {"live_after": 1.0},
        "consume": {"max_dead_per_minute": 0},
    }


def kept(events: Sequence[Event]) -> list[Event]:
    """Those of the runs that `settings_of` keeps."""
    failed = {event.run for event in events if event.type == types.ERROR}
    return [event for event in events if event.run in failed or share(event.run) < RATE]


class _Sampling(msgspec.Struct, frozen=True):
    weight: float = 0.0


class _Weighed(msgspec.Struct, frozen=True):
    """What of a document tells how many runs it stands for; a strange run's other numbers may fit into no float."""

    sampling: _Sampling = _Sampling()


def is_weighed(document: Document) -> bool:
    """Whether a kept run says how many runs it stands for."""
    failed = any(event.type == types.ERROR for event in document.events.values())
    told = msgspec.json.decode(render(document), type=_Weighed)
    return told.sampling.weight == (1.0 if failed else 1.0 / RATE)


def joined(documents: Iterable[Document]) -> dict[str, Document]:
    parts: dict[str, list[Document]] = {}
    for document in documents:
        parts.setdefault(document.run_id, []).append(document)
    return {run: reduce(join, some) for run, some in parts.items()}


async def stored(config: Config, runs: Iterable[str] = ()) -> dict[str, Document]:
    """Every document of the store; those of `runs` also if a search does not find them yet."""
    found: dict[str, Document] = {}
    query = Query(limit=500)
    async with aclosing(open_store(config)) as store:
        for run in runs:
            if document := await read_whole(store, run):
                found[run] = document
        while True:
            page = await store.search(query)
            for summary in page.runs:
                document = await read_whole(store, summary.run_id)
                assert document is not None
                found[summary.run_id] = document
            if page.next is None:
                return found
            query = msgspec.structs.replace(query, after=page.next)
