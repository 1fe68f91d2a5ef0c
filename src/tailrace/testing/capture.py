"""`capture_events`: what a program logs, kept in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import msgspec

from tailrace.config import Config
from tailrace.document import collect
from tailrace.document.view import render
from tailrace.event import Event, decode, types
from tailrace.logger import clock as durations
from tailrace.logger import state
from tailrace.logger.context import RunState, current
from tailrace.logger.recorder import Recorder
from tailrace.spool.append import Spool
from tailrace.spool.frame import Frame, parse
from tailrace.testing.clock import FakeClock


class CapturedEvents:
    """What was logged in a `capture_events` block, in the order of the calls. Any thread."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._runs: list[RunState] = []

    @property
    def events(self) -> list[Event]:
        """Every event, as it would stand on the topic; `event.data` is JSON."""
        return [decode(frame.value) for frame in parse(b"".join(self._frames), final=True).frames]

    def data(self, type_: str, *, agent: str | None = None) -> list[dict[str, Any]]:
        """The payloads of the events of one type (`action`, `log`, ...; see `tailrace.event.types`), of one agent."""
        chosen = (event for event in self.events if event.type == type_ and agent in {None, event.agent})
        return [msgspec.json.decode(event.data) for event in chosen]

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The document of each run, as `tailrace show -o json` prints it, in the order in which the runs began."""
        return [msgspec.json.decode(render(document)) for document in collect(self.events).values()]

    @property
    def document(self) -> dict[str, Any]:
        """The document of the only run.

        Raises:
            LookupError: there is none, or more than one; says which.
        """
        found = self.documents
        if len(found) != 1:
            runs = ", ".join(f"{each['workflow_name']} {each['run_id']}" for each in found)
            raise LookupError(f"one run was expected, there are {len(found)}{': ' if runs else ''}{runs}")
        return found[0]

    def clear(self) -> None:
        """Forget what was logged so far."""
        self._frames.clear()

    def _abandon(self) -> None:
        """Runs that were left open are nobody's any more: not the next block's, nor do they end with the process."""
        for run in self._runs:
            run.is_open = False
        self._runs.clear()


class _MemorySpool:
    """The part of `Spool` that a recorder uses, in memory."""

    def __init__(self, frames: list[bytes]) -> None:
        self.write = self.append = frames.append

    def run_opened(self, run_id: str, workflow: str) -> None:
        """Nobody asks which runs are open."""

    def run_ended(self, run_id: str) -> None:
        """Nor which have ended."""

    def sync(self) -> None:
        """There is no disk."""

    def mark_closed(self) -> None:
        """Nobody ships it."""

    def release(self) -> None:
        """It holds no files."""

    def written(self) -> tuple[int, int]:
        return 0, 0

    def bytes_used(self) -> int:
        return 0

    def bytes_behind(self, place: tuple[int, int]) -> int:  # noqa: ARG002 - as the spool has it
        return 0


class _CapturingRecorder(Recorder):
    """Records as every recorder does, but onto no file, and without a thread."""

    def __init__(self, config: Config, captured: CapturedEvents, clock: FakeClock | None) -> None:
        super().__init__(config)
        self.logs_dir = None
        self._captured = captured
        if clock is not None:
            self._now = clock.microseconds

    def open_run(self, workflow: str, data: types.RunStart, agent: str = "", *, keep: bool = False) -> RunState:
        run = super().open_run(workflow, data, agent, keep=keep)
        self._captured._runs.append(run)  # noqa: SLF001 - one piece
        return run

    def _start(self) -> Spool:
        self._spool = cast("Spool", _MemorySpool(self._captured._frames))  # noqa: SLF001 - one piece
        return self._spool

    def is_acked(self, place: tuple[int, int]) -> bool:  # noqa: ARG002 - as the recorder has it
        return True

    def relay(self, frame: Frame) -> bool:  # noqa: ARG002 - as the recorder has it
        """A copy for another bus goes nowhere."""
        return True

    def close(self, timeout: float) -> bool:  # noqa: ARG002 - as the recorder has it
        return True


@contextmanager
def capture_events(*, clock: FakeClock | None = None, **settings: Any) -> Iterator[CapturedEvents]:
    """A block in which logging goes to the object it gives, and nowhere else: no files, no threads, no bus.

    Everything else is as ever: settings (`settings` as in `configure_logger`, which also works inside), overrides (but
    copies for another bus go nowhere), redaction, stand-ins, contexts, threads. A run that was open before is not
    joined, and is current again after the block. For the whole process: blocks of two threads at once see each other's
    events. With `clock`, times and durations are its.

    Raises:
        ConfigError: a setting is wrong.
    """
    captured = CapturedEvents()
    undo = state.record_with(lambda config: _CapturingRecorder(config, captured, clock), settings)
    outer = current.get()
    measured = durations.measure_with(clock.seconds) if clock is not None else None
    current.set(None)
    try:
        yield captured
    finally:
        current.set(outer)
        if measured is not None:
            durations.measure_with(measured)
        undo()
        captured._abandon()  # noqa: SLF001 - one piece
