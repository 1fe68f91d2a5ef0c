"""What the others are measured against."""

from __future__ import annotations

import itertools
import time
from collections import deque

import msgspec

from benchmarks.payloads import AGENT, ITERATION, LEVEL, MASK, RUN, WORKFLOW, PlainEvent
from benchmarks.peers import Peer


class Nothing(Peer):
    """No logging: the harness alone."""

    name = "nothing"
    sink = "none"

    def call(self, i: int) -> None:
        _name, _input, _output = self.pool[i & MASK]


class Floor(Peer):
    """The least that keeps the event: a positional msgspec Struct, time_ns, a counter, Encoder.encode, deque.append."""

    name = "floor"
    sink = "memory"

    async def open(self) -> None:
        self._kept: deque[bytes] = deque()
        self._keep = self._kept.append
        self._encode = msgspec.msgpack.Encoder().encode
        self._next = itertools.count().__next__
        self._now = time.time_ns
        self._delivered = 0

    def call(self, i: int) -> None:
        name, given, found = self.pool[i & MASK]
        event = PlainEvent(RUN, WORKFLOW, AGENT, ITERATION, self._next(), name, self._now(), LEVEL, given, found)
        self._keep(self._encode(event))

    async def flush(self) -> None:
        self._delivered += len(self._kept)
        self._kept.clear()

    def delivered(self) -> int:
        return self._delivered
