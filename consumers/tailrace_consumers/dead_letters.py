"""What can never be read or written goes to `<prefix>.dead`, whole, with where it came from and why.

`tailrace.bus.dead_letters` holds the form of a letter; this is how a stage writes them, and when it has written so many
that it should stop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from tailrace.bus import Bus
from tailrace.bus.dead_letters import DeadLetter
from tailrace.errors import BusError

__all__ = ["DeadLetter", "DeadLetters", "Quota"]

_MINUTE = 60.0


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
            await self._bus.publish([letter.record(self._topic, self._stage) for letter in letters])
        except BusError as error:
            if error.retryable:
                raise
            for letter in letters:
                await self._write_alone(letter)

    async def _write_alone(self, letter: DeadLetter) -> None:
        try:
            await self._bus.publish([letter.record(self._topic, self._stage)])
        except BusError as error:
            if error.retryable:
                raise
            await self._bus.publish([letter.stub(self._topic, self._stage)])


class Quota:
    """How many dead letters a stage may write within a minute; 0: any number."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._recent: deque[tuple[float, int]] = deque()
        """When, and how many."""
        self._count = 0

    def add(self, count: int, now: float) -> None:
        if count:
            self._recent.append((now, count))
            self._count += count

    def used_up(self, now: float) -> int:
        """The number of the last minute where it reaches the quota, else 0."""
        while self._recent and self._recent[0][0] <= now - _MINUTE:
            self._count -= self._recent.popleft()[1]
        return self._count if 0 < self._per_minute <= self._count else 0
