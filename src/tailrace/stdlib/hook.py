"""`WorkflowHook`: a workflow told step by step, to tailrace and to `logging` at once."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import msgspec

from tailrace.document import collect
from tailrace.document.view import render
from tailrace.event import decode, types
from tailrace.event.ids import new_node_id
from tailrace.logger import state
from tailrace.logger.context import RunState, Scope, current, name_of, parent_of_run
from tailrace.logger.runfile import leave_document
from tailrace.spool.frame import Frame
from tailrace.stdlib.context import crossing
from tailrace.stdlib.sink import WORKFLOW_LOGGER, say


class WorkflowHook:
    """One run of a workflow: each step an event of it, and a LogRecord under `tailrace.workflow`.

        hook = WorkflowHook("my_py_logging_workflow")
        hook.start_iteration(1)
        hook.log_interaction("agent_1", "process_data", {"foo": "bar"})
        hook.end_iteration("success")
        hook.finalize()

    The run begins with the first call and ends with `finalize`; after it, the next call begins another. Iterations are
    INFO and interactions DEBUG, with the attributes that `LoggingSink` gives; at DEBUG, `finalize` also says the run's
    whole document. No call waits for the bus, and none raises; a handler of `tailrace.workflow` may take its time. Any
    thread, and all threads' calls belong to the one run.
    """

    def __init__(self, workflow_name: str) -> None:
        self.workflow_name = name_of(workflow_name)
        self._logger = logging.getLogger(WORKFLOW_LOGGER)
        self._place: Scope | None = None

    @property
    def run_id(self) -> str | None:
        """Id of the run under way; None before its first call and after `finalize`."""
        return self._place.run.run_id if self._place else None

    def start_iteration(self, iteration_num: Any) -> None:
        """Begin an iteration. One that is still open is left behind, unended."""
        run = self._run_scope()
        place = run.inner("iteration", new_node_id())
        self._record(place, types.ITERATION_START, types.IterationStart(iteration_id=iteration_num), is_said=True)
        self._move(place)

    def log_interaction(self, agent_name: str, action: str, data: Any) -> None:
        """What an agent did, as an interaction with one action. With no iteration open it belongs to the run."""
        place = self._place or self._run_scope()
        if place.level != "iteration":
            state.recorder().hint("hook", "WorkflowHook.log_interaction: no iteration in progress; the run has it")
        turn = place.inner("interaction", new_node_id(), name_of(agent_name))
        self._record(turn, types.INTERACTION_START, types.InteractionStart(agent_name=turn.agent))
        self._record(turn, types.ACTION, types.Action(action_name=action, input_data=data), is_said=True)
        self._record(turn, types.INTERACTION_END, types.InteractionEnd())

    def end_iteration(self, status: str) -> None:
        """End the iteration. With none open, the status is kept as a log line of the run."""
        place = self._place or self._run_scope()
        if place.level == "iteration":
            self._record(place, types.ITERATION_END, types.IterationEnd(status=status), is_said=True)
            self._move(self._run_scope())
        else:
            stray = types.Log(level="WARNING", message="end_iteration with none open", fields={"status": status})
            self._record(place, types.LOG, stray, is_said=True)

    def finalize(self, final_status: str = "completed") -> None:
        """End the run, if one is open; with `logs_dir` set, its document is there when this returns."""
        with state.guard():
            place, self._place = self._place, None
        if place is None:
            return
        recorder, scope = state.recorder(), place.enclosing("run") or place
        told: list[Frame] = []
        kept = scope.run.kept
        with _unsaid():
            recorder.end_run(scope.run, types.RunEnd(final_status=final_status), told=told)
        self._say(told)
        if kept and self._logger.isEnabledFor(logging.DEBUG):
            self._logger.debug("%s", _document(kept, scope.run))
        leave_document(recorder, scope.run)
        if current.get() is place:
            current.set(scope.parent)

    def _run_scope(self) -> Scope:
        """The run's own place; begins the run if there is none."""
        with state.guard():
            if self._place is None:
                recorder = state.recorder()
                data = types.RunStart(verbosity=recorder.config.verbosity, parent=parent_of_run())
                keep = self._logger.isEnabledFor(logging.DEBUG)
                with _unsaid():
                    run = recorder.open_run(self.workflow_name, data, keep=keep)
                self._place = Scope("run", run, current.get())
                current.set(self._place)
            return self._place.enclosing("run") or self._place

    def _move(self, place: Scope) -> None:
        """Steps and stdlib records from here on belong there."""
        self._place = place
        current.set(place)

    def _record(self, place: Scope, type_: str, data: msgspec.Struct, *, is_said: bool = False) -> None:
        told: list[Frame] = []
        with _unsaid():
            state.recorder().record(place, type_, data, told=told)
        if is_said:
            self._say(told)

    def _say(self, told: list[Frame]) -> None:
        for frame in told:
            try:
                say(self._logger, decode(frame.value))
            except Exception as error:  # noqa: BLE001 - a handler's own code
                state.recorder().warn(f"a handler of {WORKFLOW_LOGGER} raised: {error!r}", key="hook handler")


@contextlib.contextmanager
def _unsaid() -> Iterator[None]:
    """The hook says what happens inside itself: an installed `LoggingSink` does not."""
    crossing.inbound, before = True, crossing.inbound
    try:
        yield
    finally:
        crossing.inbound = before


def _document(kept: list[bytes], run: RunState) -> str:
    return msgspec.json.format(render(collect(map(decode, kept))[run.run_id]), indent=4).decode()
