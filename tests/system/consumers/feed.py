"""Puts events on a topic as other systems would, and knows what it put there."""

from __future__ import annotations

import itertools
import random
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka import Producer

from tailrace.document import collect
from tailrace.document.view import render
from tailrace.event import Event, encode, types
from tests.system.consumers.hostile import LYING_HEADERS, Unreadable
from tests.system.consumers.load import Agents

Form = Callable[[list[Event]], Iterable[tuple[str, bytes]]]
"""From events to keys and values."""

_TICK = 0.1
_TICKS_A_TRICKLE = 3
_TRICKLE = 3
_LYING = 0.05
_REPEATED = 0.2
_FLUSH_SECONDS = 120.0


def as_events(events: list[Event]) -> Iterable[tuple[str, bytes]]:
    return ((event.run, encode(event)) for event in events)


class AsDocuments:
    """Documents that an aggregate stage might make of the events: in parts, repeated, late, and whole at the end."""

    def __init__(self, chosen: random.Random) -> None:
        self._random = chosen
        self._runs: dict[str, list[Event]] = {}
        self._late: list[tuple[str, bytes]] = []

    def __call__(self, events: list[Event]) -> Iterable[tuple[str, bytes]]:
        yield from self._late
        self._late = []
        for run, document in collect(events).items():
            known = self._runs.setdefault(run, [])
            known += [event for event in events if event.run == run]
            part = (run, render(document))
            yield part
            if known[-1].type == types.RUN_END:
                yield run, render(collect(self._runs.pop(run))[run])
            if self._random.random() < _REPEATED:
                self._late.append(part)


class Input:
    """One topic's. Used by one thread at a time; `accepted` and `hostile` hold once the producer was flushed."""

    def __init__(self, topic: str, form: Form, agents: Agents, seed: int, *, unreadable: float = 0.0) -> None:
        """`unreadable`: the share of records that nobody can read."""
        self._topic = topic
        self._form = form
        self._agents = agents
        self._random = random.Random(seed)
        self._unreadable = unreadable
        self._hostile = Unreadable(self._random)
        self.accepted: list[Event] = []
        self.hostile: list[bytes] = []
        self.quota = sys.maxsize
        """Beyond so many events only a trickle is fed, so that a slow machine has no more to read than a fast one."""

    @property
    def records(self) -> int:
        """At least so many stand on the topic."""
        return len(self.accepted) + len(self.hostile)

    def feed(self, producer: Producer, count: int) -> None:
        """`count` more events."""
        self._publish(producer, self._agents.events(count))

    def finish(self, producer: Producer) -> None:
        """Let the runs that are open go on to their end."""
        self._publish(producer, self._agents.rest())

    def _publish(self, producer: Producer, events: list[Event]) -> None:
        self.accepted += events
        for run, value in self._form(events):
            while self._random.random() < self._unreadable:
                self.hostile.append(self._hostile.value())
                producer.produce(self._topic, self.hostile[-1], self._hostile.key())
            headers = [self._random.choice(LYING_HEADERS)] if self._random.random() < _LYING else []
            producer.produce(self._topic, value, run, headers=headers)
        producer.poll(0)


def producer_to(bus: str) -> Producer:
    """Keeps the order of a key, and repeats what a broker that dies did not take."""
    servers = bus.removeprefix("kafka://").partition("?")[0]
    quiet = {"log_level": 0, "error_cb": lambda _: None}
    return Producer(
        {"bootstrap.servers": servers, "enable.idempotence": True, "queue.buffering.max.messages": 500_000, **quiet}
    )


def flush(producer: Producer) -> None:
    left = producer.flush(_FLUSH_SECONDS)
    assert left == 0, f"Kafka did not take {left} records"


@contextmanager
def fed(bus: str, inputs: Sequence[Input], rate: float) -> Iterator[None]:
    """In the block a thread feeds `rate` events a second to each input; after it everything stands on the topics."""
    stop = threading.Event()
    producer = producer_to(bus)

    def feed() -> None:
        begin, fed = time.monotonic(), 0
        for tick in itertools.count():
            if stop.wait(_TICK):
                break
            due = round((time.monotonic() - begin) * rate) - fed
            fed += due
            for each in inputs:
                if len(each.accepted) < each.quota:
                    each.feed(producer, due)
                elif tick % _TICKS_A_TRICKLE == 0:
                    each.feed(producer, _TRICKLE)
        for each in inputs:
            each.finish(producer)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        flush(producer)
