"""What came out, compared with what the accepted events alone say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from tailrace.document import Document, collect
from tailrace.document.view import render
from tailrace.event import Event, types

_OWN = ("sampler", "aggregator")
"""The `pid`s of the events that stages add."""
_MARK = re.compile(rb"mark-[\w-]+-\d+\.")


class Verdict(msgspec.Struct):
    """Counts of events, unless said otherwise."""

    accepted: int = 0
    """On the stage's input, of kept runs."""
    documents: int = 0
    """Expected."""
    lost: int = 0
    doubled: int = 0
    """Said more than once in a document, or in two documents."""
    strange: int = 0
    """In documents, though not accepted, or of a dropped run."""
    unequal: int = 0
    """Documents that are not the oracle's."""
    hostile: int = 0
    """Records that no stage can read."""
    missing_letters: int = 0
    strange_letters: int = 0
    unread: int = 0
    """Records that no group has committed at the end."""
    repeated: int = 0
    """Letters and records written again, which is allowed."""

    @property
    def ok(self) -> bool:
        faults = (self.lost, self.doubled, self.strange, self.unequal, self.unread)
        return self.accepted > 0 and not any((*faults, self.missing_letters, self.strange_letters))

    def add(self, other: Verdict) -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __str__(self) -> str:
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in values.items())


def judge_documents(accepted: Iterable[Event], found: Mapping[str, Document]) -> Verdict:
    """Compare documents with the runs' own events. Events that stages add are left aside."""
    oracle = collect(accepted)
    expected = {run: render(document) for run, document in oracle.items()}
    bodies = {run: render(without_own(document)) for run, document in found.items()}
    verdict = Verdict(documents=len(expected))
    verdict.accepted = sum(len(document.events) for document in oracle.values())
    verdict.unequal = sum(body != bodies.get(run) for run, body in expected.items())
    told = Counter(text for body in expected.values() for text in _MARK.findall(body))
    seen = Counter(text for body in bodies.values() for text in _MARK.findall(body))
    verdict.lost = (told - seen).total()
    verdict.doubled = sum(count - 1 for text, count in seen.items() if text in told)
    verdict.strange = sum(count for text, count in seen.items() if text not in told)
    return verdict


def judge_letters(hostile: Collection[bytes], letters: Iterable[bytes], verdict: Verdict) -> None:
    """Every hostile record has a dead letter, and nothing else has one. Hostile records differ from each other."""
    seen = Counter(letters)
    verdict.hostile = len(hostile)
    verdict.missing_letters = len(set(hostile) - seen.keys())
    verdict.strange_letters = len(seen.keys() - set(hostile))
    verdict.repeated += seen.total() - len(seen)


def without_own(document: Document) -> Document:
    """The document without what stages added to it."""
    bare = Document(document.run_id)
    bare.received = document.received
    bare.events = {
        id_: event
        for id_, event in document.events.items()
        if event.pid not in _OWN and event.type != types.RUN_SAMPLED
    }
    return bare


def read_topics(bus: str, names: Collection[str]) -> dict[str, list[Any]]:
    """All records of topics, read as any other system would, each partition in its order; none where no topic is."""
    found: dict[str, list[Any]] = {name: [] for name in names}
    servers = bus.removeprefix("kafka://").partition("?")[0]
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "none", "enable.partition.eof": "true"})
    try:
        there = consumer.list_topics(timeout=20).topics
        parts = [(name, number) for name in names if name in there for number in there[name].partitions]
        consumer.assign([TopicPartition(name, number, OFFSET_BEGINNING) for name, number in parts])
        open_ends = set(parts)
        while open_ends:
            for record in consumer.consume(5_000, timeout=1.0):
                if record.error() is not None:
                    open_ends.discard((record.topic(), record.partition()))
                else:
                    found[record.topic()].append(record)
    finally:
        consumer.close()
    return found
