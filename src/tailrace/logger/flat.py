"""The flat API: `start_*`, `end_*`, `finalize`, acting on the run of the current context."""

from __future__ import annotations

from typing import Any

from tailrace.event import types
from tailrace.event.ids import new_node_id
from tailrace.logger.context import RunState, Scope, current, name_of, scope_of
from tailrace.logger.facts import Facts
from tailrace.logger.recorder import Recorder
from tailrace.logger.runfile import leave_document


class FlatApi(Facts):
    """Forgiving: a call that has no open level goes to the nearest one that is, a run is begun where there is none."""

    __slots__ = ()

    _agent = ""

    @property
    def workflow_name(self) -> str:
        raise NotImplementedError

    def _recorder(self) -> Recorder:
        raise NotImplementedError

    def _scope(self) -> Scope:
        """The current place in a run of this workflow; begins a run in this context if there is none."""
        workflow = self.workflow_name
        scope = scope_of(workflow)
        if scope is None:
            recorder = self._recorder()
            run = recorder.open_run(workflow, types.RunStart(verbosity=recorder.config.verbosity))
            scope = Scope("run", run, current.get())
            current.set(scope)
            self._has_begun(run)
        return scope.spoken_by(self._agent) if self._agent and self._agent != scope.agent else scope

    def _has_begun(self, run: RunState) -> None:
        """A run was begun because there was none."""

    def _place(self) -> tuple[Recorder, Scope]:
        return self._recorder(), self._scope()

    def _outside_interaction(self, recorder: Recorder, scope: Scope) -> None:
        if not scope.action:
            line = (
                "log_action was called with no interaction open; the action belongs to the {}, without an agent's turn"
            )
            recorder.hint("action", line.format(scope.level))

    @property
    def run_id(self) -> str | None:
        """Id of the current run of this workflow in this context; None if none is open."""
        scope = scope_of(self.workflow_name)
        return scope.run.run_id if scope else None

    def start_iteration(self, iteration_id: Any = None, **fields: Any) -> None:
        """Begin an iteration. One that is still open is left behind, unended."""
        recorder, scope = self._place()
        if scope.enclosing("iteration") is not None:
            recorder.hint(
                "iteration twice",
                "start_iteration was called with one open, which stays without an end unless it is a block",
            )
        outer = scope.enclosing("run") or scope
        inner = outer.inner("iteration", new_node_id())
        recorder.record(inner, types.ITERATION_START, types.IterationStart(iteration_id=iteration_id, fields=fields))
        current.set(inner)

    def start_interaction(self, agent_name: str, input_data: Any = None, **fields: Any) -> None:
        """Begin an agent's turn, in the open iteration if there is one."""
        recorder, scope = self._place()
        if scope.enclosing("interaction") is not None:
            line = "start_interaction was called with one open, which stays without an end unless it is a block"
            recorder.hint("interaction twice", line)
        outer = scope.enclosing("iteration") or scope.enclosing("run") or scope
        agent_name = name_of(agent_name)
        inner = outer.inner("interaction", new_node_id(), agent_name)
        parent = outer.parent_of_turn(scope)
        data = types.InteractionStart(agent_name=agent_name, input_data=input_data, parent=parent, fields=fields)
        recorder.record(inner, types.INTERACTION_START, data)
        current.set(inner)

    def end_interaction(self, output_data: Any = None, status: str | None = None, **fields: Any) -> None:
        """End the agent's turn. With none open, the output is kept as a log line of the run."""
        recorder, scope = self._place()
        ended = scope.enclosing("interaction")
        if ended is None:
            stray = {"output_data": output_data, "status": status, **fields}
            recorder.record(scope, types.LOG, _stray("end_interaction", stray))
            recorder.hint("end of interaction", "end_interaction was called with none open; its output is a log line")
            return
        data = types.InteractionEnd(output_data=output_data, status=status, outcome=fields)
        recorder.record(ended, types.INTERACTION_END, data)
        current.set(ended.parent)

    def end_iteration(self, status: str = "success", **fields: Any) -> None:
        """End the iteration. With none open, the status is kept as a log line of the run."""
        recorder, scope = self._place()
        ended = scope.enclosing("iteration")
        if ended is None:
            recorder.record(scope, types.LOG, _stray("end_iteration", {"status": status, **fields}))
            recorder.hint("end of iteration", "end_iteration was called with none open; its status is a log line")
            return
        recorder.record(ended, types.ITERATION_END, types.IterationEnd(status=status, outcome=fields))
        current.set(ended.parent)

    def finalize(self, final_status: str = "completed", **fields: Any) -> None:
        """End the run of this context; never waits for the bus. With no run open it does nothing.

        With `logs_dir` set, the run's document (this process's events) is written there before this returns.
        """
        recorder, scope = self._recorder(), scope_of(self.workflow_name)
        if scope is None:
            recorder.hint("finalize", f"finalize was called with no run of {self.workflow_name} open; it did nothing")
            return
        run = scope.run
        recorder.end_run(run, types.RunEnd(final_status=final_status, outcome=fields))
        leave_document(recorder, run)
        outer = scope.enclosing("run") or scope
        current.set(outer.parent)


def _stray(call: str, given: dict[str, Any]) -> types.Log:
    return types.Log(level="WARNING", message=f"{call} was called with none open", fields=given)
