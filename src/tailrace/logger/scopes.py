"""The scoped API: a run, an iteration, an interaction, an action, each a `with` or `async with` block.

A scope records its start when entered and its end when left, with its status and, on an exception, with the exception:
once with its traceback in the document's `errors`, by the innermost scope it passes. Nothing is swallowed.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from tailrace.event import types
from tailrace.event.ids import new_node_id
from tailrace.logger import clock
from tailrace.logger.context import RunState, Scope, current, name_of, parent_of_run
from tailrace.logger.facts import Facts, failure, mark_reported
from tailrace.logger.recorder import Recorder
from tailrace.logger.runfile import leave_document

_CANCELLED = ("CancelledError", "Cancelled", "KeyboardInterrupt", "GeneratorExit")


class ScopeBase(Facts):
    """Enter once, from any thread; facts recorded through the object belong to it wherever they are called."""

    __slots__ = ("_fields", "_outer", "_recorder", "_scope", "status")

    def __init__(self, recorder: Recorder, fields: dict[str, Any]) -> None:
        self._recorder = recorder
        self._fields = fields
        self._outer: Scope | None = None
        self._scope: Scope
        self.status: str | None = None
        """Set it to override what the end records ("success", or "failed" after an exception)."""

    def set(self, **fields: Any) -> None:
        """Add fields to what the end records. A field set again replaces the earlier value."""
        self._fields.update(fields)

    def _place(self) -> tuple[Recorder, Scope]:
        return self._recorder, self._scope

    def _start(self) -> None:
        raise NotImplementedError

    def _end(self, status: str | None, error: types.Failure | None) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._outer = current.get()
        fields, self._fields = self._fields, {}
        self._begin(fields)
        self._scope.is_block = True
        current.set(self._scope)
        return self

    def _begin(self, fields: dict[str, Any]) -> None:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        status, error = self.status, None
        if exc is not None:
            status, error = self._judge(exc)
        self._end(status, error)
        # Not by token: a scope may be left in another context than it was entered in (generators, callbacks).
        current.set(self._outer)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, exc, trace)

    def _began_in(self, place: Scope) -> str | None:
        """Id of the node that this one began in: where the block is entered, if that is in the same run."""
        outer = self._outer
        inside = outer if outer is not None and outer.run is place.run else place
        return inside.node or place.node or None

    def _judge(self, exc: BaseException) -> tuple[str, types.Failure | None]:
        if isinstance(exc, SystemExit) and exc.code in (None, 0):
            return self.status or "success", None
        if type(exc).__name__ in _CANCELLED:
            return self.status or "cancelled", None
        run = self._scope.run
        if run.reported is not exc:
            run.reported = exc
            mark_reported(exc)
            message = f"{type(exc).__name__} in {self._scope.level}"
            self._recorder.record(self._scope, types.ERROR, types.Error(error_msg=message, exception=failure(exc)))
        return self.status or "failed", failure(exc, with_traceback=False)


class Action(ScopeBase):
    """A tool or model call under way; measures its own duration."""

    __slots__ = ("_began", "_name", "_parent", "cost", "input", "model", "output", "tokens")

    def __init__(self, recorder: Recorder, parent: Scope, name: str, input_data: Any, fields: dict[str, Any]) -> None:
        super().__init__(recorder, fields)
        self._parent = parent
        self._name = name
        self.input = input_data
        self.output: Any = None
        self.model: str | None = None
        self.tokens: Any = None
        """Total, or `{"input": ..., "output": ...}`."""
        self.cost: float | None = None
        """US dollars."""
        self._began = 0.0

    def _begin(self, fields: dict[str, Any]) -> None:
        self._scope = self._parent.inner("action", new_node_id())
        self._scope.action_name = self._name
        parent = self._began_in(self._parent)
        data = types.ActionStart(
            action_name=self._name,
            input_data=self.input,
            parent=None if parent == self._scope.interaction else parent,  # its place in the document says that
            fields=fields,
        )
        self._recorder.record(self._scope, types.ACTION_START, data)
        self._began = clock.seconds()

    def _end(self, status: str | None, error: types.Failure | None) -> None:
        data = types.ActionEnd(
            output_data=self.output,
            duration_ms=round((clock.seconds() - self._began) * 1000, 3),
            model=self.model,
            tokens=self.tokens,
            cost=self.cost,
            status=status or "success",
            error=error,
            outcome=self._fields,
        )
        self._recorder.record(self._scope, types.ACTION_END, data)


class _Turns(ScopeBase):
    """What can hold actions."""

    __slots__ = ()

    def action(self, action_name: str, input: Any = None, **fields: Any) -> Action:  # noqa: A002 - the seed's word
        """A tool or model call, as a block; set `output`, `tokens`, `cost`, `model` on what it gives."""
        return Action(self._recorder, self._scope, action_name, input, fields)


class Interaction(_Turns):
    """One agent's turn."""

    __slots__ = ("_parent", "agent_name", "input", "output")

    def __init__(self, recorder: Recorder, parent: Scope, agent: str, input_data: Any, fields: dict[str, Any]) -> None:
        super().__init__(recorder, fields)
        self._parent = parent
        self.agent_name = name_of(agent)
        self.input = input_data
        self.output: Any = None

    def _begin(self, fields: dict[str, Any]) -> None:
        self._scope = self._parent.inner("interaction", new_node_id(), self.agent_name)
        data = types.InteractionStart(
            agent_name=self.agent_name, input_data=self.input, parent=self._began_in(self._parent), fields=fields
        )
        self._recorder.record(self._scope, types.INTERACTION_START, data)

    def _end(self, status: str | None, error: types.Failure | None) -> None:
        data = types.InteractionEnd(
            output_data=self.output, status=status or "success", error=error, outcome=self._fields
        )
        self._recorder.record(self._scope, types.INTERACTION_END, data)


class _Rounds(_Turns):
    """What can hold interactions."""

    __slots__ = ()

    def interaction(self, agent_name: str, input: Any = None, **fields: Any) -> Interaction:  # noqa: A002
        """An agent's turn, as a block; set `output` on what it gives."""
        return Interaction(self._recorder, self._scope, agent_name, input, fields)


class Iteration(_Rounds):
    """One round of a workflow."""

    __slots__ = ("_parent", "iteration_id")

    def __init__(self, recorder: Recorder, parent: Scope, iteration_id: Any, fields: dict[str, Any]) -> None:
        super().__init__(recorder, fields)
        self._parent = parent
        self.iteration_id = iteration_id

    def _begin(self, fields: dict[str, Any]) -> None:
        self._scope = self._parent.inner("iteration", new_node_id())
        data = types.IterationStart(iteration_id=self.iteration_id, parent=self._began_in(self._parent), fields=fields)
        self._recorder.record(self._scope, types.ITERATION_START, data)

    def _end(self, status: str | None, error: types.Failure | None) -> None:
        data = types.IterationEnd(status=status or "success", error=error, outcome=self._fields)
        self._recorder.record(self._scope, types.ITERATION_END, data)


class Run(_Rounds):
    """One execution of a workflow. Ends "completed", "failed" after an exception, or as `status` says."""

    __slots__ = ("_agent", "_iterations", "_run", "_session", "_tags", "_workflow")

    def __init__(
        self, recorder: Recorder, workflow: str, session: str | None, tags: list[str], fields: dict[str, Any]
    ) -> None:
        super().__init__(recorder, fields)
        self._workflow = workflow
        self._session = session
        self._tags = tags
        self._run: RunState | None = None
        self._iterations = 0

    @property
    def run_id(self) -> str:
        """32 hex digits: the Kafka key and the W3C trace id. Known once the block is entered."""
        if self._run is None:
            raise RuntimeError("the run begins when its block is entered: `with log.run() as run:`")
        return self._run.run_id

    def iteration(self, iteration_id: Any = None, **fields: Any) -> Iteration:
        """A round of the workflow, as a block; numbered from 1 unless named."""
        self._iterations += 1
        number = self._iterations if iteration_id is None else iteration_id
        return Iteration(self._recorder, self._scope, number, fields)

    def _begin(self, fields: dict[str, Any]) -> None:
        data = types.RunStart(
            verbosity=self._recorder.config.verbosity,
            session=self._session,
            tags=self._tags,
            parent=parent_of_run(),
            fields=fields,
        )
        self._run = self._recorder.open_run(self._workflow, data)
        self._run.is_ambient = True
        self._scope = Scope("run", self._run, self._outer)

    def _end(self, status: str | None, error: types.Failure | None) -> None:
        run = self._scope.run
        if run.is_open:  # not if `finalize` was called inside the block
            final = "completed" if status in (None, "success") else status
            self._recorder.end_run(run, types.RunEnd(final_status=str(final), error=error, outcome=self._fields))
            leave_document(self._recorder, run)
