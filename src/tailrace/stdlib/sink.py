"""From tailrace to `logging`: each event a LogRecord."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any, Self

import msgspec

from tailrace.event import Event, decode
from tailrace.logger.draft import Draft, Write
from tailrace.logger.overrides import Override, override
from tailrace.stdlib.context import crossing, mark_recorded
from tailrace.stdlib.messages import describe

WORKFLOW_LOGGER = "tailrace.workflow"
_SOURCE = "(tailrace)"


class LoggingSink:
    """Once installed, makes each accepted event that the names match a LogRecord of a logger, for console, rotating
    files, ELK, Splunk: whatever handlers that logger has.

        with LoggingSink().install():
            ...

    Levels: actions DEBUG, errors ERROR, log lines their own, the rest INFO; the logger's level decides as always
    (`logging.getLogger("tailrace.workflow").setLevel("DEBUG")`). Attributes of the record: `run`, `workflow`,
    `iteration`, `interaction`, `action`, `agent`, `event_type`, `event_id`, and the payload as `data`. Secrets are
    masked. Events that came from `logging` are left out: they have been there.

    The handlers run in the logging call, which takes as long as they do: put a QueueHandler in front of slow ones. One
    that raises costs its record, counted in `stats().overrides_failed`. Any thread.
    """

    def __init__(
        self,
        logger: str = WORKFLOW_LOGGER,
        *,
        workflow: str | None = None,
        agent: str | None = None,
        action: str | None = None,
    ) -> None:
        self._logger = logging.getLogger(logger)
        self._names = {"workflow": workflow, "agent": agent, "action": action}
        self._override: Override | None = None

    def install(self) -> Self:
        """Begin; once installed, does nothing more. Returns the sink, which as a `with` block removes itself."""
        if self._override is None:
            self._override = override(self, **self._names)
        return self

    def remove(self) -> None:
        """End it; more than once does nothing more."""
        if self._override is not None:
            self._override.remove()
            self._override = None

    def __enter__(self) -> Self:
        return self.install()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def __call__(self, event: Draft, write: Write) -> None:
        accepted = write(event)
        if accepted is not None and not crossing.inbound:
            say(self._logger, decode(accepted.value))


def say(logger: logging.Logger, event: Event) -> None:
    """Hand the logger a record of the event."""
    data: dict[str, Any] = msgspec.json.decode(event.data)
    level, text = describe(event, data)
    if logger.isEnabledFor(level):
        extra = {
            "run": event.run,
            "workflow": event.workflow,
            "iteration": event.iteration,
            "interaction": event.interaction,
            "action": event.action,
            "agent": event.agent,
            "event_type": event.type,
            "event_id": event.id,
            "data": data,
        }
        record = logger.makeRecord(logger.name, level, _SOURCE, 0, text, (), None, extra=extra)
        mark_recorded(record)
        logger.handle(record)
