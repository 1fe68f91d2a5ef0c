"""Waiting for a bus or a store that is away: for ever, ever more slowly, and saying why."""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import anyio
import msgspec

from tailrace.consumer import Progress
from tailrace.errors import BusError, StoreError

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]
Report = Callable[[Progress], None]

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
_log = logging.getLogger("tailrace.consumers")


class Retry:
    """Repeats calls of one stage that fail for now, and keeps its `Progress.note` and `retries`."""

    def __init__(self, progress: Progress, report: Report | None = None, sleep: Sleep = anyio.sleep) -> None:
        self.progress = progress
        self._report = report
        self._sleep = sleep
        self._waits: dict[str, str] = {}
        """By what is being done: one thing may get on while another one waits."""

    async def __call__(self, doing: str, call: Callable[[], Awaitable[T]]) -> T:
        """The result of `call()`, repeated while its error is retryable; `doing` says in the note what waits.

        Raises:
            BusError, StoreError: not retryable.
        """
        try:
            for pause in _pauses():
                try:
                    return await call()
                except (BusError, StoreError) as error:
                    if not error.retryable:
                        raise
                    self.progress.retries += 1
                    self._note(doing, f"{doing}: {error}")
                await self._sleep(pause)
        finally:
            self._note(doing, "")  # also where it is cancelled: nothing waits any more
        raise AssertionError("the pauses never end")

    def _note(self, doing: str, note: str) -> None:
        if note:
            self._waits[doing] = note
        else:
            self._waits.pop(doing, None)
        note = next(iter(self._waits.values()), "")
        if note == self.progress.note:
            return
        self.progress.note = note
        if note:
            _log.warning("%s waits, %s", self.progress.stage, note)
        self.report()

    def report(self) -> None:
        """Hand out a copy of the progress."""
        if self._report:
            self._report(msgspec.structs.replace(self.progress))


def _pauses() -> Iterator[float]:
    """Doubling, and spread, so that many consumers do not come back to a recovering server at the same moment."""
    pause = _FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.5, 1.0)  # noqa: S311 - spread, not secrecy
        pause = min(pause * 2, _LONGEST_PAUSE)
