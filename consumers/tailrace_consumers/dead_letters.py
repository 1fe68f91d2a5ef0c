"""What can never be read or written goes to `<prefix>.dead`, whole, with where it came from and why.

A dead letter keeps key, value and headers of the original, so that redriving it means publishing them to `tr-topic`
again without the headers named in `ADDED`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tailrace.bus import Bus, Headers, Received, Record
from tailrace.errors import BusError

ADDED = frozenset({"tr-topic", "tr-partition", "tr-offset", "tr-stage", "tr-error", "tr-size"})
"""Headers that a dead letter has beside those of the original."""

_MAX_ERROR = 1000


class DeadLetter(msgspec.Struct, frozen=True):
    """A record and the reason why it was given up."""

    topic: str
    partition: int
    """-1, as is `offset`: the record was made by the stage and refused by the bus."""
    offset: int
    key: bytes
    value: bytes
    headers: Headers
    error: str

    @classmethod
    def unreadable(cls, record: Received, error: str) -> DeadLetter:
        """A record that was read and cannot be used."""
        return cls(record.topic, record.partition, record.offset, record.key, record.value, record.headers, error)

    @classmethod
    def refused(cls, record: Record, error: str) -> DeadLetter:
        """A record that the bus will never take."""
        return cls(record.topic, -1, -1, record.key, record.value, record.headers, error)


class DeadLetters:
    """Writes the dead letters of one stage."""

    def __init__(self, bus: Bus, topic: str, stage: str) -> None:
        self._bus = bus
        self._topic = topic
        self._stage = stage

    async def write(self, letters: Sequence[DeadLetter]) -> None:
        """Durable when it returns. A letter too large for the bus is written without its value, with its size.

        Raises:
            BusError: as `Bus.publish`; writing the same letters again is the way to go on.
        """
        try:
            await self._bus.publish([self._record(letter) for letter in letters])
        except BusError as error:
            if error.retryable:
                raise
            for letter in letters:
                await self._write_alone(letter)

    async def _write_alone(self, letter: DeadLetter) -> None:
        try:
            await self._bus.publish([self._record(letter)])
        except BusError as error:
            if error.retryable:
                raise
            size = ("tr-size", str(len(letter.value)).encode())
            stub = msgspec.structs.replace(letter, value=b"", headers=(*letter.headers, size))
            await self._bus.publish([self._record(stub, keep=("tr-size",))])

    def _record(self, letter: DeadLetter, keep: Sequence[str] = ()) -> Record:
        facts = {
            "tr-topic": letter.topic,
            "tr-partition": str(letter.partition),
            "tr-offset": str(letter.offset),
            "tr-stage": self._stage,
            "tr-error": letter.error[:_MAX_ERROR],
        }
        original = tuple((name, value) for name, value in letter.headers if name not in ADDED or name in keep)
        added = tuple((name, text.encode("utf-8", "replace")) for name, text in facts.items())
        return Record(self._topic, letter.key, letter.value, original + added)
