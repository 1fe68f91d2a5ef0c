"""A dead letter: a record that no consumer can use, as it stands on `<prefix>.dead`, and its way back.

It keeps key, value and headers of the original; where that stood, which stage gave it up, and why, are headers of
their own (`ADDED`). Redriving publishes the original again to where it came from. Documents take a record once,
however often it comes, so a letter that is redriven twice, or whose original was used after all, changes nothing.
"""

from __future__ import annotations

import msgspec

from tailrace.bus import Headers, Received, Record

ADDED = frozenset({"tr-topic", "tr-partition", "tr-offset", "tr-stage", "tr-error", "tr-size"})
"""Headers that a dead letter has beside those of the original."""
REDRIVEN = "tr-redriven"
"""Header of a redriven record: how often it was. It stays with it, so that one that dies again is known."""

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

    def record(self, dead_topic: str, stage: str) -> Record:
        """The letter as that stage leaves it."""
        return self._record(dead_topic, stage, self.value, {})

    def stub(self, dead_topic: str, stage: str) -> Record:
        """The letter with the size of its value in place of it, for where it is too large."""
        return self._record(dead_topic, stage, b"", {"tr-size": str(len(self.value))})

    def _record(self, dead_topic: str, stage: str, value: bytes, more: dict[str, str]) -> Record:
        facts = {
            "tr-topic": self.topic,
            "tr-partition": str(self.partition),
            "tr-offset": str(self.offset),
            "tr-stage": stage,
            "tr-error": self.error[:_MAX_ERROR],
            **more,
        }
        original = tuple((name, value) for name, value in self.headers if name not in ADDED)
        return Record(dead_topic, self.key, value, original + tuple((n, _bytes(text)) for n, text in facts.items()))


class Letter(msgspec.Struct, frozen=True):
    """A dead letter as it is found on its topic."""

    id: str
    """`<partition>:<offset>` on the dead-letter topic."""
    timestamp: float
    """When the bus took it, seconds since 1970."""
    stage: str
    """Which gave it up; "" for a record that no stage left there."""
    dead: DeadLetter
    size: int
    """Of the original value in bytes, also where the letter is without it."""
    redriven: int
    """How often the original had been redriven when it was given up."""

    @property
    def is_whole(self) -> bool:
        """Whether the value of the original is there, so that it can be redriven."""
        return len(self.dead.value) == self.size

    def original(self) -> Record:
        """What redriving publishes."""
        kept = tuple((name, value) for name, value in self.dead.headers if name != REDRIVEN)
        count = (REDRIVEN, _bytes(str(self.redriven + 1)))
        return Record(self.dead.topic, self.dead.key, self.dead.value, (*kept, count))


def read(record: Received) -> Letter:
    """Any record of the dead-letter topic; what its headers do not say is empty, or -1."""
    told = {name: value.decode("utf-8", "replace") for name, value in record.headers if name in ADDED}
    redriven = [value for name, value in record.headers if name == REDRIVEN]
    return Letter(
        id=f"{record.partition}:{record.offset}",
        timestamp=record.timestamp,
        stage=told.get("tr-stage", ""),
        dead=DeadLetter(
            told.get("tr-topic", ""),
            _number(told.get("tr-partition", "")),
            _number(told.get("tr-offset", "")),
            record.key,
            record.value,
            tuple((name, value) for name, value in record.headers if name not in ADDED),
            told.get("tr-error", ""),
        ),
        size=max(len(record.value), _number(told.get("tr-size", ""))),
        redriven=max([_number(count.decode("utf-8", "replace")) for count in redriven] + [0]),
    )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1  # noqa: PLR2004 - 64 bits
