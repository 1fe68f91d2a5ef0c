"""What a stage has done, in a line; rewritten in place on a terminal."""

from __future__ import annotations

import sys
import time
from typing import Self

from rich.live import Live
from rich.text import Text

from tailrace.cli.escape import escape
from tailrace.cli.output import say, stderr
from tailrace.cli.wording import counted
from tailrace.consumer import Progress

_PLAIN_EVERY = 30.0
"""Seconds between two lines of one stage where there is no terminal."""


def described(progress: Progress) -> str:
    """What a stage has done, in one line."""
    parts = [f"{progress.stage}: {counted(progress.received, 'record')} received, {progress.written:,} written"]
    if progress.lag is not None:
        parts.append(f"{progress.lag:,} behind")
    if progress.dead:
        parts.append(f"{progress.dead:,} to dead letters")
    if progress.retries:
        parts.append(f"{progress.retries:,} retries")
    return ", ".join(parts) + (f" - waits: {progress.note}" if progress.note else "")


class Board:
    """A line a stage that is rewritten on a terminal; elsewhere a line now and then, and when a note changes."""

    def __init__(self) -> None:
        self.latest: dict[str, Progress] = {}
        self._said: dict[str, tuple[float, str]] = {}
        self._live = Live(console=stderr(), transient=True) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        self.latest[progress.stage] = progress
        if self._live:
            self._live.update(Text("\n".join(escape(described(each)) for each in self.latest.values())))
        elif self._is_due(progress):
            say(described(progress))

    def _is_due(self, progress: Progress) -> bool:
        now = time.monotonic()
        said, note = self._said.get(progress.stage, (float("-inf"), ""))
        if now - said < _PLAIN_EVERY and note == progress.note:
            return False
        self._said[progress.stage] = (now, progress.note)
        return True
