"""Calls that every part of the logger offers: log lines, errors, resources, one-call actions."""

from __future__ import annotations

import contextlib
import traceback
from typing import Any

from tailrace.event import types
from tailrace.logger.context import Scope
from tailrace.logger.recorder import Recorder

_MAX_TRACEBACK = 16_384


class Facts:
    """Records facts at the place that `_place()` names. All methods: any thread, do not block, never raise."""

    __slots__ = ()

    def _place(self) -> tuple[Recorder, Scope]:
        """The recorder, and where in which run a call made now belongs."""
        raise NotImplementedError

    def log_action(
        self,
        action_name: str,
        input_data: Any = None,
        output_data: Any = None,
        *,
        model: str | None = None,
        tokens: Any = None,
        cost: float | None = None,
        duration_ms: float | None = None,
        status: str | None = None,
        exc: BaseException | None = None,
        **fields: Any,
    ) -> None:
        """One tool or model call, done. `tokens`: a total or `{"input": ..., "output": ...}`; `cost`: US dollars."""
        recorder, scope = self._place()
        is_accepted = recorder.record(
            scope,
            types.ACTION,
            types.Action(
                action_name=action_name,
                input_data=input_data,
                output_data=output_data,
                duration_ms=duration_ms,
                model=model,
                tokens=tokens,
                cost=cost,
                status=status or ("failed" if exc else None),
                error=failure(exc) if exc else None,
                fields=fields,
            ),
        )
        if is_accepted and not scope.interaction:
            self._outside_interaction(recorder, scope)

    def _outside_interaction(self, recorder: Recorder, scope: Scope) -> None:
        """An action was logged where no interaction is open."""

    def add_resource(self, resource_name: Any, **fields: Any) -> None:
        """Something the run read or made: a path, a URL, an id."""
        recorder, scope = self._place()
        recorder.record(scope, types.RESOURCE, types.Resource(resource_name=resource_name, fields=fields))

    def log_error(self, error_msg: Any, exc: BaseException | None = None, **fields: Any) -> None:
        """An error of the run, with type, message and traceback of `exc` if given. Does not end anything."""
        recorder, scope = self._place()
        data = types.Error(error_msg=error_msg, exception=failure(exc) if exc else None, fields=fields)
        recorder.record(scope, types.ERROR, data)

    def log(self, level: str, text: Any, /, **fields: Any) -> None:
        """A log line; not recorded when `level` (DEBUG, INFO, WARNING, ERROR, CRITICAL) is below the verbosity."""
        recorder, scope = self._place()
        name = str(level).upper()
        if types.LEVELS.get(name, 20) >= recorder.lowest_level:
            recorder.record(scope, types.LOG, types.Log(level=name, message=text, fields=fields))

    def debug(self, text: Any, /, **fields: Any) -> None:
        """A log line at level DEBUG."""
        self.log("DEBUG", text, **fields)

    def info(self, text: Any, /, **fields: Any) -> None:
        """A log line at level INFO."""
        self.log("INFO", text, **fields)

    def warning(self, text: Any, /, **fields: Any) -> None:
        """A log line at level WARNING."""
        self.log("WARNING", text, **fields)

    def error(self, text: Any, /, **fields: Any) -> None:
        """A log line at level ERROR. For an entry in the document's `errors`, use `log_error`."""
        self.log("ERROR", text, **fields)

    def critical(self, text: Any, /, **fields: Any) -> None:
        """A log line at level CRITICAL."""
        self.log("CRITICAL", text, **fields)


def failure(exc: BaseException, *, with_traceback: bool = True) -> types.Failure:
    """An exception as data. Its own code (`__str__`) may fail: then its type alone is told."""
    try:
        message = str(exc)
    except Exception:  # noqa: BLE001 - the exception's own code
        message = "<str raised>"
    shown = ""
    if with_traceback:
        try:
            shown = "".join(traceback.format_exception(exc))
        except Exception:  # noqa: BLE001 - the exception's own code
            shown = ""
    if len(shown) > _MAX_TRACEBACK:  # the beginning and the raising frames say most
        half = _MAX_TRACEBACK // 2
        shown = f"{shown[:half]}\n[... {len(shown) - 2 * half} characters left out ...]\n{shown[-half:]}"
    return types.Failure(type(exc).__name__, message, shown)


def mark_reported(exc: BaseException) -> None:
    """Note on the exception that a run has it, for who meets it once that run is over."""
    with contextlib.suppress(Exception):  # the exception's own code
        exc._tailrace_reported = True  # type: ignore[attr-defined]  # noqa: SLF001


def is_reported(exc: BaseException) -> bool:
    """Whether some run has the exception."""
    return getattr(exc, "_tailrace_reported", False) is True
