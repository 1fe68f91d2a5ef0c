"""The exchangeable workflow logger: a small interface, its default, and setting another one, globally or locally."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from tailrace.event import types
from tailrace.event.ids import new_node_id
from tailrace.logger import state
from tailrace.logger.context import Scope, current, name_of, scope_of
from tailrace.logger.flat import begin_run
from tailrace.logger.recorder import Recorder
from tailrace.logger.runfile import leave_document
from tailrace.logger.unattended import end_at_exit

_REMEMBERED = 1_000
"""Entries of `in_memory_data`, the latest: a service logs for months."""


class BaseWorkflowLogger(ABC):
    """What a workflow calls. Derive from it for logging of your own, or from `DefaultWorkflowLogger` to add to it.

    The same object is called from any thread and task of the program.
    """

    @abstractmethod
    def start_iteration(self, iteration_id: int) -> None:
        """An iteration begins."""

    @abstractmethod
    def log_action(self, agent_name: str, action_name: str, details: dict[str, Any]) -> None:
        """An agent did something."""

    @abstractmethod
    def end_iteration(self, status: str) -> None:
        """The iteration ended."""


class DefaultWorkflowLogger(BaseWorkflowLogger):
    """Records each call as an event of the current run, and keeps the latest of them in `in_memory_data`.

    The current run is that of a logger without a name. Where there is none, the first call begins one, of the setting
    `workflow_name`; `finalize`, `log.finalize()` or the end of the process ends it. Safe from any thread; does not
    block; never raises. `details` are the action's input in the document.
    """

    def __init__(self) -> None:
        self.in_memory_data: list[dict[str, Any]] = []
        """The latest 1,000 iterations and actions, as they were passed: `{"iteration": ..., "status": ...}` and
        `{"agent": ..., "action": ..., "details": ...}`."""

    def start_iteration(self, iteration_id: int) -> None:
        """Begin an iteration. One that is still open is left behind, unended."""
        recorder, scope = self._place()
        outer = scope.home("run")
        inner = outer.inner("iteration", new_node_id())
        data = types.IterationStart(iteration_id=iteration_id, parent=outer.node or None)
        recorder.record(inner, types.ITERATION_START, data)
        current.set(inner)
        self._remember({"iteration": iteration_id, "status": "started"})

    def log_action(self, agent_name: str, action_name: str, details: dict[str, Any]) -> None:
        """What an agent did, in the open iteration or interaction, or in the run if none is open."""
        recorder, scope = self._place()
        agent = name_of(agent_name)
        data = types.Action(action_name=action_name, input_data=details)
        recorder.record(scope if scope.agent == agent else scope.spoken_by(agent), types.ACTION, data)
        self._remember({"agent": agent_name, "action": action_name, "details": details})

    def end_iteration(self, status: str) -> None:
        """End the iteration. With none open, the status is kept as a log line of the run."""
        recorder, scope = self._place()
        ended = scope.enclosing("iteration")
        if ended is None:
            message = "end_iteration was called with none open"
            recorder.record(scope, types.LOG, types.Log(level="WARNING", message=message, fields={"status": status}))
            return
        recorder.record(ended, types.ITERATION_END, types.IterationEnd(status=status))
        current.set(ended.parent)
        for entry in reversed(self.in_memory_data):
            if "iteration" in entry:
                entry["status"] = status
                break

    def finalize(self, final_status: str = "completed") -> None:
        """End the current run of this context. With none open it does nothing."""
        recorder = state.recorder()
        scope = scope_of(recorder.config.workflow_name, ambient=True)
        if scope is not None:
            recorder.end_run(scope.run, types.RunEnd(final_status=final_status))
            leave_document(recorder, scope.run)
            current.set((scope.enclosing("run") or scope).parent)

    def _place(self) -> tuple[Recorder, Scope]:
        recorder = state.recorder()
        workflow = recorder.config.workflow_name
        scope = scope_of(workflow, ambient=True)
        if scope is None:
            scope = begin_run(recorder, workflow)
            end_at_exit(scope.run)
        return recorder, scope

    def _remember(self, entry: dict[str, Any]) -> None:
        self.in_memory_data.append(entry)
        if len(self.in_memory_data) > _REMEMBERED:
            del self.in_memory_data[0]


class WorkflowLoggerSetting:
    """A logger that was set. Call it to undo that, or use it as a `with` block; more than once does nothing more."""

    def __init__(self, undo: Callable[[], None], logger: BaseWorkflowLogger) -> None:
        self._undo = undo
        self._logger = logger

    def __call__(self) -> None:
        self._undo()

    def __enter__(self) -> BaseWorkflowLogger:
        return self._logger

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo()


class _Set:
    """One call of `set_workflow_logger`. Its own object, since one logger may be set twice."""

    __slots__ = ("logger",)

    def __init__(self, logger: BaseWorkflowLogger) -> None:
        self.logger = logger


_everywhere: tuple[_Set, ...] = (_Set(DefaultWorkflowLogger()),)
_here: ContextVar[tuple[_Set, ...]] = ContextVar("tailrace_workflow_loggers", default=())


def set_workflow_logger(logger: BaseWorkflowLogger, *, local: bool = False) -> WorkflowLoggerSetting:
    """Have `get_workflow_logger()` give this one: in the whole process, or with `local` in this context alone (this
    thread or task, and the tasks that it begins), where it goes before the process's.

    Returns the undo. Settings undone in any order leave the latest of those that are still set. Any thread.

    Raises:
        TypeError: it is not a `BaseWorkflowLogger`.
    """
    global _everywhere  # noqa: PLW0603
    if not isinstance(logger, BaseWorkflowLogger):
        raise TypeError(f"a workflow logger derives from BaseWorkflowLogger; {type(logger).__name__} does not")
    made = _Set(logger)
    if local:
        _here.set((*_here.get(), made))
    else:
        with state.guard():
            _everywhere = (*_everywhere, made)

    def undo() -> None:
        global _everywhere  # noqa: PLW0603
        _here.set(tuple(each for each in _here.get() if each is not made))
        with state.guard():
            _everywhere = tuple(each for each in _everywhere if each is not made)

    return WorkflowLoggerSetting(undo, logger)


def get_workflow_logger() -> BaseWorkflowLogger:
    """The logger set last: of this context if it has one, else of the process, at first a `DefaultWorkflowLogger`."""
    here = _here.get()
    return (here or _everywhere)[-1].logger
