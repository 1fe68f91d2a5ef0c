"""What a LogRecord carries of a run: ids for formatters, and its place for a handler in another thread."""

from __future__ import annotations

import logging
import threading
from typing import Any

from tailrace.logger.context import Scope, innermost

CONTEXT = ("run", "workflow", "iteration", "interaction", "action", "agent")
"""The attributes of a LogRecord that say where it belongs."""
_SCOPE = "_tailrace_scope"
_RECORDED = "_tailrace_recorded"
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", _SCOPE, _RECORDED}


class Crossing(threading.local):
    """Which way this thread is crossing the bridge."""

    inbound = False
    """A LogRecord is becoming an event."""
    asyncio = False
    """asyncio tells `logging` of an exception that has been recorded."""


crossing = Crossing()


class _Place:
    """A scope on a LogRecord. A record that is pickled, for another process, leaves it behind."""

    __slots__ = ("scope",)

    def __init__(self, scope: Scope | None) -> None:
        self.scope = scope

    def __reduce__(self) -> tuple[Any, ...]:
        return (_Place, (None,))


class ContextFilter(logging.Filter):
    """Lets every record pass and notes on it where it was made: `run`, `workflow`, `iteration`, `interaction`, `action`
    and `agent`, empty where there is none, for formats such as `%(run)s`.

    Needed on a QueueHandler whose QueueListener has a `TailraceHandler`: the listener's thread is in no run. Across
    processes only the ids arrive. Attributes that `extra` has set stay.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        scope = innermost()
        if not hasattr(record, _SCOPE):
            setattr(record, _SCOPE, _Place(scope))
        for name, value in ids_of(scope).items():
            if not hasattr(record, name):
                setattr(record, name, value)
        return True


def scope_on(record: logging.LogRecord) -> Scope | None:
    """Where the record was made: as noted on it, even if that run has ended since; else in this context."""
    noted = getattr(record, _SCOPE, None)
    return noted.scope if isinstance(noted, _Place) and noted.scope else innermost()


def ids_of(scope: Scope | None) -> dict[str, str]:
    """The attributes of CONTEXT."""
    if scope is None:
        return dict.fromkeys(CONTEXT, "")
    run = scope.run
    return dict(
        zip(
            CONTEXT,
            (run.run_id, run.workflow, scope.iteration, scope.interaction, scope.action, scope.agent),
            strict=True,
        )
    )


def is_recorded(record: logging.LogRecord) -> bool:
    """Whether the record is an event already, or was one before it was a record."""
    return getattr(record, _RECORDED, False)


def mark_recorded(record: logging.LogRecord) -> None:
    setattr(record, _RECORDED, True)


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """What `extra=` and adapters added to the record."""
    found = vars(record)
    added = found.keys() - _STANDARD
    return {name: found[name] for name in found if name in added} if added else {}
