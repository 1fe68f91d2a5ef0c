"""Zero-line logging: what a program tells the standard library anyway goes into the current run."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import sys
import threading
from types import TracebackType
from typing import Any, Self

from tailrace.event import types
from tailrace.logger import state
from tailrace.logger.context import Scope, current, innermost, outwards
from tailrace.logger.facts import failure, is_reported, mark_reported
from tailrace.logger.runfile import leave_document
from tailrace.stdlib.context import crossing
from tailrace.stdlib.handler import TailraceHandler


class Installed:
    """What `install` did. Call it to undo that, or use it as a `with` block."""

    def __init__(self, handler: TailraceHandler) -> None:
        self._handler = handler
        self._is_active = True
        self._excepthook, self._thread_hook = sys.excepthook, threading.excepthook
        self._call_handlers = logging.Logger.callHandlers
        self._ours: list[tuple[Any, str, Any, Any]] = []
        """Owner, name, what we put there, what was there."""

    def hook_up(self) -> None:
        """Put ourselves before what is there, which goes on being called."""
        # Not from its submodule: while a publisher's thread imports the package, each could wait for the other, and
        # Python would let one of them go on with half of it.
        from asyncio import BaseEventLoop  # noqa: PLC0415 - importing tailrace stays quick

        installed, tell_loop = self, BaseEventLoop.call_exception_handler

        def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
            installed.took(record)
            installed._call_handlers(logger, record)

        def call_exception_handler(loop: BaseEventLoop, context: dict[str, Any]) -> None:
            crossing.asyncio, before = installed.unhandled(context), crossing.asyncio
            try:
                tell_loop(loop, context)
            finally:
                crossing.asyncio = before

        self._replace(sys, "excepthook", self._on_uncaught, self._excepthook)
        self._replace(threading, "excepthook", self._on_uncaught_in_thread, self._thread_hook)
        self._replace(logging.Logger, "callHandlers", call_handlers, self._call_handlers)
        self._replace(BaseEventLoop, "call_exception_handler", call_exception_handler, tell_loop)
        if (shell := _notebook()) is not None:
            shell.events.register("post_run_cell", self._on_cell)

    def _replace(self, owner: Any, name: str, ours: Any, theirs: Any) -> None:
        setattr(owner, name, ours)
        self._ours.append((owner, name, ours, theirs))

    def __call__(self) -> None:
        """Undo. What another library has put over one of ours stays there, and ours passes on to what was there."""
        global _installed  # noqa: PLW0603
        with state.guard():
            if _installed is self:
                _installed = None
        self._is_active = False
        for owner, name, ours, theirs in self._ours:
            if getattr(owner, name) == ours:
                setattr(owner, name, theirs)
        if (shell := _notebook()) is not None:
            with contextlib.suppress(ValueError):  # it is not there, or no longer
                shell.events.unregister("post_run_cell", self._on_cell)
        self._handler.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self()

    def took(self, record: logging.LogRecord) -> None:
        """A record that a logger lets through."""
        if self._is_active and record.levelno >= self._handler.level:
            self._handler.handle(record)

    def unhandled(self, context: dict[str, Any]) -> bool:
        """What an event loop tells of; into the run of the task that it is about, where Python says which that was."""
        if not self._is_active:
            return False
        exc = context.get("exception")
        task = context.get("task") or context.get("future")
        of_task = getattr(task, "get_context", None)  # Python 3.12
        scope = outwards(of_task().get(current)) if callable(of_task) else innermost()
        self._record(str(context.get("message") or "error in the event loop"), exc, scope)
        return True

    def _on_uncaught(self, kind: type[BaseException], exc: BaseException | None, trace: TracebackType | None) -> None:
        if self._is_active and exc is not None:
            is_interrupt = isinstance(exc, KeyboardInterrupt)
            if not is_interrupt:
                self._record("uncaught exception", exc, innermost())
            if not hasattr(sys, "ps1"):  # else the program goes on: an interactive interpreter's next line
                self._end_runs("cancelled" if is_interrupt else "failed", exc)
        self._excepthook(kind, exc, trace)  # type: ignore[arg-type]

    def _on_uncaught_in_thread(self, about: threading.ExceptHookArgs) -> None:
        exc = about.exc_value
        if self._is_active and exc is not None and not isinstance(exc, SystemExit):
            name = about.thread.name if about.thread else "?"
            self._record(f"uncaught exception in thread {name}", exc, _place_of(about.thread))
        self._thread_hook(about)

    def _on_cell(self, result: Any) -> None:
        """A cell has ended; its exception, which IPython shows and passes on to nobody, ends no run."""
        exc = getattr(result, "error_before_exec", None) or getattr(result, "error_in_exec", None)
        if self._is_active and exc is not None and not isinstance(exc, KeyboardInterrupt | SystemExit):
            self._record("uncaught exception in a cell", exc, innermost())

    def _record(self, message: str, exc: BaseException | None, scope: Scope | None) -> None:
        if exc is not None:
            if is_reported(exc):
                return
            mark_reported(exc)
        with contextlib.suppress(Exception):  # wrong settings must not hide the exception
            recorder = state.recorder()
            data = types.Error(error_msg=message, exception=failure(exc) if exc is not None else None)
            recorder.record(scope or self._handler.own_run(recorder), types.ERROR, data)

    def _end_runs(self, final_status: str, exc: BaseException) -> None:
        """The program ends: so do the runs that are open where it does, if this process began them."""
        with contextlib.suppress(Exception):  # as above
            recorder, error = state.recorder(), failure(exc, with_traceback=False)
            while (scope := innermost()) is not None and scope.run.opened_by == os.getpid():
                recorder.end_run(scope.run, types.RunEnd(final_status=final_status, error=error))
                leave_document(recorder, scope.run)
            self._handler.end_own_run(final_status, error)


def _place_of(thread: threading.Thread | None) -> Scope | None:
    """Where a thread was that has ended: from Python 3.14 on its hook is called outside the context that it ran in."""
    context = getattr(thread, "_context", None)
    return outwards(context.get(current)) if isinstance(context, contextvars.Context) else innermost()


def _notebook() -> Any:
    """IPython's shell, if this program is typed into one or a notebook's kernel; not imported for the question."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return shell() if callable(shell) else None


_installed: Installed | None = None


def install(level: int | str = logging.NOTSET, *, workflow: str | None = None) -> Installed:
    """Have uncaught exceptions and `logging`'s records go into the current run, with no line in the program for it.

    - Every LogRecord that a logger lets through, as `TailraceHandler` records it, from `level` on; no handler is added,
      so that `logging.basicConfig` and `dictConfig` work as before and print what they did.
    - Exceptions that nobody catches, of the main thread, other threads and asyncio's tasks and callbacks (before Python
      3.12: of tasks only where the loop's own context is the run's). One that ends the program also ends its open runs,
      as `failed`. In IPython and notebooks: what a cell raises, which ends no run.

    What happens outside any run goes to a run of its own, of `workflow` (default: the setting `workflow_name`). What
    was hooked before is called as before. Returns the undo: call it, or use it as a `with` block. Installed once is
    installed: until it is undone, further calls return the same. Any thread; does not block, makes no file.

    `TAILRACE_AUTO=1` in the environment does this when tailrace is imported.
    """
    global _installed  # noqa: PLW0603
    with state.guard():
        if _installed is None:
            _installed = Installed(TailraceHandler(level, workflow=workflow))
            _installed.hook_up()
        return _installed
