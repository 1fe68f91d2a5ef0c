"""The flat API: `start_*`, `end_*`, `finalize`, acting on the run of the current context."""

from __future__ import annotations

from typing import Any

from tailrace.event import types
from tailrace.event.ids import new_node_id
from tailrace.logger.context import RunState, Scope, current, name_of, parent_of_run
from tailrace.logger.facts import Facts
from tailrace.logger.recorder import Recorder
from tailrace.logger.runfile import leave_document


def begin_run(recorder: Recorder, workflow: str) -> Scope:
    """Begin a run that belongs to no block, and make it current in this context."""
    start = types.RunStart(verbosity=recorder.config.verbosity, parent=parent_of_run())
    scope = Scope("run", recorder.open_run(workflow, start), current.get())
    current.set(scope)
    return scope


class FlatApi(Facts):
    """Forgiving: a call that has no open level goes to the nearest one that is, a run is begun where there is none."""

    __slots__ = ()

    _agent = ""

    @property
    def workflow_name(self) -> str:
        raise NotImplementedError

    def _recorder(self) -> Recorder:
        raise NotImplementedError

    def _open_scope(self) -> Scope | None:
        """The current place in a run that is this logger's to record into; None if there is none."""
        raise NotImplementedError

    def _scope(self) -> Scope:
        """As `_open_scope`; begins a run in this context if there is none."""
        scope = self._open_scope()
        if scope is None:
            scope = begin_run(self._recorder(), self.workflow_name)
            self._has_begun(scope.run)
        return scope

    def _has_begun(self, run: RunState) -> None:
        """A run was begun because there was none."""

    def _place(self) -> tuple[Recorder, Scope]:
        scope = self._scope()
        if self._agent and self._agent != scope.agent:
            scope = scope.spoken_by(self._agent)
        return self._recorder(), scope

    def _outside_interaction(self, recorder: Recorder, scope: Scope) -> None:
        if not scope.is_block:  # in a block, the place is the one that was meant
            level = "iteration" if scope.iteration else "run"
            line = f"log_action was called with no interaction open; the action belongs to the {level}"
            recorder.hint("action", f"{line}, without an agent's turn")

    @property
    def run_id(self) -> str | None:
        """Id of the run that a call here and now would record into; None if it would begin one."""
        scope = self._open_scope()
        return scope.run.run_id if scope else None

    def start_iteration(self, iteration_id: Any = None, **fields: Any) -> None:
        """Begin an iteration. One that is still open is left behind, unended."""
        recorder, scope = self._recorder(), self._scope()
        outer = scope.home("run")
        if scope.leaves("iteration", outer):
            line = "start_iteration was called with one open, which stays without an end"
            recorder.hint("iteration twice", line)
        inner = outer.inner("iteration", new_node_id())
        data = types.IterationStart(iteration_id=iteration_id, parent=outer.node or None, fields=fields)
        recorder.record(inner, types.ITERATION_START, data)
        current.set(inner)

    def start_interaction(self, agent_name: str, input_data: Any = None, **fields: Any) -> None:
        """Begin an agent's turn, in the open iteration if there is one; inside the block of a turn, as its child."""
        recorder, scope = self._recorder(), self._scope()
        outer = scope.home("iteration", "run")
        if scope.leaves("interaction", outer):
            line = "start_interaction was called with one open, which stays without an end"
            recorder.hint("interaction twice", line)
        agent_name = name_of(agent_name)
        inner = outer.inner("interaction", new_node_id(), agent_name)
        data = types.InteractionStart(
            agent_name=agent_name, input_data=input_data, parent=outer.node or None, fields=fields
        )
        recorder.record(inner, types.INTERACTION_START, data)
        current.set(inner)

    def end_interaction(self, output_data: Any = None, status: str | None = None, **fields: Any) -> None:
        """End the agent's turn. With none open, the output is kept as a log line of the run."""
        ended = self._scope().enclosing("interaction")
        if ended is None:
            self._keep_stray("end_interaction", "output", {"output_data": output_data, "status": status, **fields})
            return
        data = types.InteractionEnd(output_data=output_data, status=status, outcome=fields)
        self._recorder().record(ended, types.INTERACTION_END, data)
        current.set(ended.parent)

    def end_iteration(self, status: str = "success", **fields: Any) -> None:
        """End the iteration. With none open, the status is kept as a log line of the run."""
        ended = self._scope().enclosing("iteration")
        if ended is None:
            self._keep_stray("end_iteration", "status", {"status": status, **fields})
            return
        self._recorder().record(ended, types.ITERATION_END, types.IterationEnd(status=status, outcome=fields))
        current.set(ended.parent)

    def _keep_stray(self, call: str, what: str, given: dict[str, Any]) -> None:
        """The log line of an end that has no start."""
        recorder, scope = self._place()
        data = types.Log(level="WARNING", message=f"{call} was called with none open", fields=given)
        recorder.record(scope, types.LOG, data)
        recorder.hint(call, f"{call} was called with none open; its {what} is a log line")

    def finalize(self, final_status: str = "completed", **fields: Any) -> None:
        """End the run of this context; never waits for the bus. With no run open it does nothing.

        With `logs_dir` set, the run's document (this process's events) is written there before this returns.
        """
        recorder, scope = self._recorder(), self._open_scope()
        if scope is None:
            recorder.hint("finalize", f"finalize was called with no run of {self.workflow_name} open; it did nothing")
            return
        run = scope.run
        recorder.end_run(run, types.RunEnd(final_status=final_status, outcome=fields))
        leave_document(recorder, run)
        outer = scope.enclosing("run") or scope
        current.set(outer.parent)
