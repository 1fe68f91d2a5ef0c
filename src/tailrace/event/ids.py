"""Ids and times: made without a system call, safe to make in any thread and in a forked child."""

from __future__ import annotations

import functools
import os
import random
import re
import time
from datetime import UTC, datetime

THREE_DIGITS = [f"{number:03d}" for number in range(1000)]
_RUN_ID = re.compile(r"[0-9a-f]{32}")

# Own generator: a program that calls random.seed(42) must not make two processes share ids.
_random = random.Random()  # noqa: S311 - ids need to be unique, not unguessable


def reseed() -> None:
    """Draw a new state from the operating system. Must run in a forked child before its first id."""
    _random.seed(os.urandom(32))


os.register_at_fork(after_in_child=reseed)


def new_run_id() -> str:
    """32 hex digits laid out as a UUIDv7: 48 bits of milliseconds, then 74 random bits.

    The random tail, unlike the counter of RFC 9562 method 1, lets the right-most 7 bytes serve as the randomness of
    a W3C trace id (Level 2), and makes a hash or the id's own tail usable for sampling.
    """
    milliseconds = time.time_ns() // 1_000_000
    bits = _random.getrandbits(74)
    return f"{milliseconds:012x}7{bits >> 62:03x}{0x8000 | (bits >> 48) & 0x3FFF:04x}{bits & 0xFFFFFFFFFFFF:012x}"


def new_node_id() -> str:
    """16 hex digits, never all zero: a W3C span id."""
    return f"{_random.getrandbits(64) or 1:016x}"


def new_producer_id() -> str:
    """24 hex digits: 48 bits of milliseconds and 48 random bits; sorts by the producer's start."""
    return f"{time.time_ns() // 1_000_000:012x}{_random.getrandbits(48):012x}"


def run_started_at(run_id: str) -> datetime | None:
    """The time that a tailrace run id carries; None for an id of another form."""
    if not _RUN_ID.fullmatch(run_id) or run_id[12] != "7":
        return None
    try:
        return datetime.fromtimestamp(int(run_id[:12], 16) / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


class Clock:
    """Wall time that never goes back within the process.

    A clock set back (NTP, suspend) would otherwise reorder a run: the time then stands until the clock is there again.
    One instance a producer. Thread-safe enough: two threads may get times in either order, as they may call.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0

    def now(self) -> int:
        """Microseconds since 1970."""
        now = time.time_ns() // 1000
        if now < self._last:
            return self._last
        self._last = now
        return now


def text_of(microseconds: int) -> str:
    """Microseconds since 1970 as an event's `ts`: RFC 3339, UTC, microseconds."""
    milliseconds, rest = divmod(microseconds, 1000)
    return f"{up_to(milliseconds)}{THREE_DIGITS[rest]}Z"


@functools.lru_cache(maxsize=16)
def up_to(milliseconds: int) -> str:
    """The text up to the milliseconds, which serves many events."""
    seconds, rest = divmod(milliseconds, 1000)
    # Not strftime, which imports a module: no import works once the interpreter is shutting down.
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}.{THREE_DIGITS[rest]}"


def time_text(seconds: float) -> str:
    """Seconds since 1970 as an event's `ts`: RFC 3339, UTC, microseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")[:26] + "Z"


def parse_time(text: str) -> float | None:
    """Seconds since 1970 of an event's `ts`; None where it is not RFC 3339, which has an offset from UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo else None
