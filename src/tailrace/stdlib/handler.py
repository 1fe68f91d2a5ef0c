"""From `logging` to tailrace: each LogRecord an event of the current run."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Iterable
from typing import Any

import msgspec

from tailrace.event import types
from tailrace.logger import state
from tailrace.logger.context import Scope
from tailrace.logger.facts import failure
from tailrace.logger.recorder import Recorder
from tailrace.logger.runfile import leave_document
from tailrace.stdlib.context import CONTEXT, crossing, extras, is_recorded, mark_recorded, scope_on

_OWN = "tailrace"
_OWN_THREADS = "tailrace-"
_NAMES = {number: name for name, number in types.LEVELS.items()}


class TailraceHandler(logging.Handler):
    """Records each LogRecord once, as a log line of the run that is current where it was made.

    A record at ERROR or above that has an exception becomes an entry of the document's `errors`, with type, message and
    traceback. `extra`, the logger's name and the place in the source stand in `fields`. A level that tailrace does not
    have counts as the next lower one (below DEBUG: as DEBUG), and its name stands in `fields`. Lines below the
    verbosity are not recorded, whatever the handler's level. A formatter is not used.

    Records made outside any run go to one run of the handler's own, of `workflow` (default: the setting
    `workflow_name`), which `close` or the end of the process ends. Not recorded: what loggers `tailrace` and
    `tailrace.*` say, what tailrace's own threads cause, and loggers in `ignore` with those below them; name there what
    a handler of `tailrace.workflow` uses to send (such as `urllib3`), if it sends from another thread.

    As quick as other logging calls, and takes no lock: it needs no QueueHandler. If there is one in front of it, the
    QueueHandler needs a `ContextFilter`. Never raises.
    """

    def __init__(
        self, level: int | str = logging.NOTSET, *, workflow: str | None = None, ignore: Iterable[str] = ()
    ) -> None:
        super().__init__(level)
        self._workflow = workflow
        self._ignored = tuple(f"{name}." for name in (_OWN, *ignore))
        self._own: Scope | None = None

    def createLock(self) -> None:  # noqa: N802 - the name is logging's
        """None: an event is recorded without waiting for another thread's."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """As `logging.Handler.handle`, without a lock."""
        passed = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        """Record it, unless it is tailrace's own or recorded already."""
        is_nested, crossing.inbound = crossing.inbound, True
        try:
            if is_recorded(record) or self._is_ignored(record):
                return
            recorder = state.settled_recorder()
            level = level_of(record)
            if types.LEVELS[level] >= recorder.lowest_level:
                mark_recorded(record)
                type_, data = event_of(record, level, is_nested=is_nested)
                recorder.record(scope_on(record) or self.own_run(recorder), type_, data)
        except Exception:  # noqa: BLE001 - logging's way to tell of a handler's error
            self.handleError(record)
        finally:
            crossing.inbound = is_nested

    def _is_ignored(self, record: logging.LogRecord) -> bool:
        if (record.threadName or "").startswith(_OWN_THREADS):
            return True
        if crossing.asyncio and record.name == "asyncio":
            return True
        return f"{record.name}.".startswith(self._ignored)

    def own_run(self, recorder: Recorder) -> Scope:
        """The run of what happens outside any; begun with the first of it."""
        own = self._own
        if own is not None and own.run.is_open:
            return own
        with state.guard():
            if self._own is None or not self._own.run.is_open:
                workflow = self._workflow or recorder.config.workflow_name
                data = types.RunStart(verbosity=recorder.config.verbosity, fields={"opened_by": "logging"})
                self._own = Scope("run", recorder.open_run(workflow, data), None)
                atexit.register(self.end_own_run)  # before tailrace's own: this module was imported later
            return self._own

    def end_own_run(self, final_status: str = "completed", error: types.Failure | None = None) -> None:
        """End the run of what happened outside any, if there is one and this process began it."""
        own, self._own = self._own, None
        if own is not None and own.run.is_open and own.run.opened_by == os.getpid():
            atexit.unregister(self.end_own_run)
            recorder = state.recorder()
            recorder.end_run(own.run, types.RunEnd(final_status=final_status, error=error))
            leave_document(recorder, own.run)

    def close(self) -> None:
        """End the handler's own run. Called by `logging.shutdown` at exit, and where logging is configured anew."""
        try:
            self.end_own_run()
        finally:
            super().close()


def level_of(record: logging.LogRecord) -> str:
    """Tailrace's level: the record's own, or the next lower one that tailrace has."""
    known = _NAMES.get(record.levelno)
    if known is None:
        lower = [name for name, number in types.LEVELS.items() if number <= record.levelno]
        return lower[-1] if lower else "DEBUG"
    return known


def event_of(record: logging.LogRecord, level: str, *, is_nested: bool = False) -> tuple[str, msgspec.Struct]:
    """Type and payload of the event that says what the record says. Raises nothing."""
    fields = _fields(record, level)
    message = _message(record, fields, is_nested=is_nested)
    exc = record.exc_info[1] if record.exc_info else None
    if exc is not None and level in ("ERROR", "CRITICAL"):
        return types.ERROR, types.Error(error_msg=message, exception=failure(exc), fields=fields)
    if exc is not None:
        fields["exception"] = msgspec.to_builtins(failure(exc))
    elif record.exc_text:
        fields["exception"] = record.exc_text
    return types.LOG, types.Log(level=level, message=message, fields=fields)


def _fields(record: logging.LogRecord, level: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"logger": record.name, "source": f"{record.filename}:{record.lineno}"}
    if record.levelname != level:
        fields["level_name"] = record.levelname
    if record.stack_info:
        fields["stack"] = record.stack_info
    for name, value in extras(record).items():
        if name not in CONTEXT:
            fields[f"extra_{name}" if name in fields else name] = value
    return fields


def _message(record: logging.LogRecord, fields: dict[str, Any], *, is_nested: bool) -> Any:
    """The text with its arguments in it. Arguments that cannot be put in stand in `fields`, so that none is lost."""
    if not record.args:
        return record.msg if isinstance(record.msg, str) or is_nested else _text(record.msg)
    fields["template"] = record.msg
    if not is_nested:  # else an argument's own code logged, and would again
        try:
            return record.getMessage()
        except Exception as error:  # noqa: BLE001 - a wrong format, or the arguments' own code
            fields["format_error"] = f"{type(error).__name__}: {error}"
    fields["args"] = record.args
    return record.msg


def _text(message: object) -> Any:
    try:
        return str(message)
    except Exception:  # noqa: BLE001 - the message's own code
        return message
