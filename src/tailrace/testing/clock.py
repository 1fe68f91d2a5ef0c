"""A clock that stands until it is told to go on."""

from __future__ import annotations

from datetime import UTC, datetime

_START = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """Times of events and durations of actions, as the test says. Any thread may read it; one sets it."""

    def __init__(self, start: datetime = _START) -> None:
        """`start`: with a time zone.

        Raises:
            ValueError: it has none.
        """
        if start.tzinfo is None:
            raise ValueError(f"{start!r} has no time zone; write datetime(..., tzinfo=UTC)")
        self._microseconds = round(start.timestamp() * 1_000_000)

    def advance(self, seconds: float) -> None:
        """Let time pass. Negative: a clock set back."""
        self._microseconds += round(seconds * 1_000_000)

    @property
    def now(self) -> datetime:
        """The time it shows, UTC."""
        return datetime.fromtimestamp(self._microseconds / 1_000_000, UTC)

    def microseconds(self) -> int:
        """Since 1970."""
        return self._microseconds

    def seconds(self) -> float:
        """Since 1970; for measuring durations."""
        return self._microseconds / 1_000_000
