"""What became of accepted calls: read from the events topic by a plain consumer, and from the documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from tailrace.bus.topics import Topics
from tailrace.config import Config, load
from tailrace.consumer import find_consumer
from tailrace.publish import ship
from tailrace.registry import open_bus
from tests.soak.agent import WORKFLOW
from tests.system.scripts import companions_gone, documents_in_store


class Verdict(msgspec.Struct):
    """Counts of calls, but for `gaps` and `unended`, which count documents."""

    accepted: int = 0
    duplicates: int = 0
    """On the topic, which may have them."""
    extra: int = 0
    """Under way at the end: recorded, though the agent did not live to tell of them."""
    lost: int = 0
    doubled: int = 0
    """In documents."""
    disordered: int = 0
    """First seen on the topic behind a later call of their run."""
    strange: int = 0
    """Recorded, though neither accepted nor under way."""
    gaps: int = 0
    unended: int = 0
    left: list[str] = []
    """Spools that could not be shipped, and why."""
    documents: int = 0

    @property
    def ok(self) -> bool:
        faults = (self.lost, self.doubled, self.disordered, self.strange, self.gaps, self.unended, self.left)
        return self.accepted > 0 and not any(faults)

    def add(self, other: Verdict) -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __str__(self) -> str:
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return ", ".join(
            f"{name} {value or 0 if name == 'left' else format(value, ',')}" for name, value in values.items()
        )


async def judge(settings: dict[str, Any], marks: dict[int, int]) -> Verdict:
    """Ship what is left, run the stages, and compare topic and documents with what each stream was told."""
    config = load(settings)
    await companions_gone(config.home)
    bus = open_bus(config)
    try:
        report = await ship(config, bus)
    finally:
        await bus.aclose()
    await find_consumer("all")(config, until="caught_up")
    verdict = Verdict(accepted=sum(marks.values()), left=[*report.errors, *_spools(config)])
    on_topic = Tally(marks)
    verdict.disordered = on_topic.read(calls_on_topic(config))
    documents = await documents_in_store(config)
    in_documents = Tally(marks)
    in_documents.read((d["run_id"], *action["input_data"]) for d in documents for action in d.get("actions", ()))
    verdict.documents = len(documents)
    verdict.gaps = sum(bool(d["integrity"]["gaps"] or d["integrity"]["dropped"]) for d in documents)
    verdict.unended = sum(d["state"] == "open" for d in documents)
    verdict.duplicates = on_topic.again()
    verdict.doubled = in_documents.again()
    verdict.extra = in_documents.extra()
    verdict.lost = max(on_topic.lost(), in_documents.lost())
    verdict.strange = on_topic.strange() + in_documents.strange()
    return verdict


class Tally:
    """How often each call of each stream was seen."""

    def __init__(self, marks: dict[int, int]) -> None:
        self._marks = marks
        self._seen: dict[tuple[int, int], int] = {}

    def read(self, calls: Iterable[tuple[str, int, int]]) -> int:
        """Take (run, stream, call), and give how many of a run were first seen behind a later one."""
        last: dict[str, int] = {}
        disordered = 0
        for run, stream, call in calls:
            if (stream, call) not in self._seen:
                disordered += call < last.get(run, 0)
                last[run] = call
            self._seen[stream, call] = self._seen.get((stream, call), 0) + 1
        return disordered

    def again(self) -> int:
        return sum(self._seen.values()) - len(self._seen)

    def extra(self) -> int:
        return sum(call == self._marks.get(stream, 0) + 1 for stream, call in self._seen)

    def strange(self) -> int:
        return sum(call > self._marks.get(stream, 0) + 1 for stream, call in self._seen)

    def lost(self) -> int:
        told = sum(self._marks.values())
        return told - sum(call <= self._marks.get(stream, 0) for stream, call in self._seen)


class _Data(msgspec.Struct):
    input_data: tuple[int, int] | None = None


class _Event(msgspec.Struct):
    run: str
    type: str
    data: msgspec.Raw


def calls_on_topic(config: Config) -> Iterator[tuple[str, int, int]]:
    """The calls on the events topic, read as any other system would, each partition in its order."""
    topic = Topics(config.prefix).events(WORKFLOW)
    servers = config.bus_url.removeprefix("kafka://").partition("?")[0]
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "none", "enable.partition.eof": "true"})
    try:
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        open_ends = set(partitions)
        while open_ends:
            for record in consumer.consume(5_000, timeout=1.0):
                if record.error() is not None:
                    open_ends.discard(record.partition())
                    continue
                event = msgspec.json.decode(record.value(), type=_Event)
                if event.type == "action":
                    data = msgspec.json.decode(event.data, type=_Data)
                    assert data.input_data is not None
                    yield event.run, *data.input_data
    finally:
        consumer.close()


def _spools(config: Config) -> list[str]:
    """What is left under the spool though nobody lives who could use it.

    Not: a directory without its final name that holds no frame. Its maker was killed before the first event.
    """
    left = []
    for path in filter(Path.is_dir, Path(config.spool_path).iterdir()):
        names = sorted(each.name for each in path.iterdir())
        unfinished = path.name.startswith(".") and not any(name.endswith(".frames") for name in names)
        if path.name != "rejected" and not unfinished:
            left.append(f"{path.name}: {names}")
    return left
