"""Where in a run a call is made: ids in one context variable, so that agents on one loop or in threads never mix."""

from __future__ import annotations

import itertools
import os
import sys
from contextvars import ContextVar

from tailrace.event import wire
from tailrace.spool.frame import NO_SPAN, Route

_MAX_NAME = 1_000
_NOWHERE = Route("", b"")


def name_of(value: object) -> str:
    """A workflow's or agent's name as text of bounded length, whatever was passed."""
    try:
        text = value if type(value) is str else str(value)
    except Exception:  # noqa: BLE001 - the value's own code
        text = type(value).__name__
    return text.encode("utf-8", "backslashreplace").decode()[:_MAX_NAME] if not text.isascii() else text[:_MAX_NAME]


class RunState:
    """What calls of one run share: its ids and its counters. Holds no payloads (but see `kept`)."""

    __slots__ = (
        "__weakref__",
        "count",
        "dropped",
        "is_ambient",
        "is_open",
        "kept",
        "key",
        "opened_by",
        "producer",
        "reported",
        "run_id",
        "topic",
        "workflow",
    )

    def __init__(self, run_id: str, workflow: str, topic: str, *, keep: bool) -> None:
        self.run_id = run_id
        self.workflow = workflow
        self.topic = topic
        self.key = run_id.encode()
        self.producer = ""
        """The producer for which `count` counts: a forked child counts anew."""
        self.count = itertools.count()
        self.opened_by = os.getpid()
        """The process that answers for the run: if it goes, the run is abandoned."""
        self.is_open = True
        self.is_ambient = False
        """Begun by a block, a decorator or a caller: loggers without a name record into it, whatever its workflow."""
        self.dropped: dict[str, int] = {}
        self.reported: BaseException | None = None
        """The exception last recorded, while it travels outwards through the scopes."""
        self.kept: list[bytes] | None = [] if keep else None
        """The run's events of this process, only while `logs_dir` is set and the run is open."""


class Scope:
    """One level of a run; immutable. `parent` is the level that is current again when this one ends."""

    __slots__ = (
        *("action", "action_name", "agent", "failures", "interaction", "is_block", "iteration"),
        *("level", "parent", "route", "routed_for", "run", "topic"),
    )

    def __init__(
        self,
        level: str,
        run: RunState,
        parent: Scope | None,
        *,
        iteration: str = "",
        interaction: str = "",
        action: str = "",
        agent: str = "",
    ) -> None:
        self.level = level
        self.run = run
        self.parent = parent
        self.iteration = iteration
        self.interaction = interaction
        self.action = action
        self.agent = agent
        self.action_name = ""
        """Of the action block that this is."""
        self.topic = ""
        """Where its events go instead of the run's topic."""
        self.failures: dict[str, tuple[int, bytes]] | None = None
        """Of decorated actions whose last call here failed: how often in a row, and a digest of its arguments."""
        self.is_block = False
        """Whether leaving a block ends it; plain calls inside it then nest, and come back to it."""
        self.route = _NOWHERE
        """What the frames of all events of the scope share; made with the first."""
        self.routed_for = ""
        """The producer that `route` names."""

    def route_for(self, producer: str) -> Route:
        """Make `route` for this producer."""
        run, nodes = self.run, {"iteration": self.iteration, "interaction": self.interaction, "action": self.action}
        span = self.action or self.interaction or self.iteration
        text = wire.share(producer, run.run_id, run.workflow, **nodes, agent=self.agent)
        route = Route(self.topic or run.topic, run.key, bytes.fromhex(span) if span else NO_SPAN, text)
        self.route, self.routed_for = route, producer
        return route

    def inner(self, level: str, node: str, agent: str = "") -> Scope:
        """The scope of a node that begins here. A node of a higher level leaves the lower ones behind."""
        if level == "iteration":
            return Scope(level, self.run, self, iteration=node, agent=agent)
        if level == "interaction":
            return Scope(level, self.run, self, iteration=self.iteration, interaction=node, agent=agent)
        return Scope(
            level,
            self.run,
            self,
            iteration=self.iteration,
            interaction=self.interaction,
            action=node,
            agent=agent or self.agent,
        )

    def spoken_by(self, agent: str) -> Scope:
        """The same place, with another agent speaking."""
        spoken = Scope(self.level, self.run, self.parent, agent=agent)
        spoken.iteration, spoken.interaction, spoken.action = self.iteration, self.interaction, self.action
        spoken.action_name, spoken.is_block = self.action_name, self.is_block
        return spoken

    def on_topic(self, topic: str) -> Scope:
        """The same place, with its events on another topic."""
        moved = self.spoken_by(self.agent)
        moved.topic = topic
        return moved

    @property
    def node(self) -> str:
        """Id of the innermost interaction or action; "" outside of all. What begins here has it as its parent."""
        return self.action or self.interaction

    @property
    def traceparent(self) -> str:
        """The place as W3C Trace Context names it; a run's own span is the second half of its id."""
        run_id = self.run.run_id
        return f"00-{run_id}-{self.node or self.iteration or run_id[16:]}-01"

    def home(self, *levels: str) -> Scope:
        """Where a node that a plain call begins here belongs: the nearest one of these levels, or turn in a block."""
        scope = self
        while scope.level not in levels and not (scope.is_block and scope.node):
            if scope.parent is None or scope.parent.run is not self.run:
                break
            scope = scope.parent
        return scope

    def leaves(self, level: str, home: Scope) -> bool:
        """Whether what begins at `home` leaves one of that level behind that a plain call began and none has ended."""
        scope: Scope | None = self
        while scope is not None and scope is not home:
            if scope.level == level and not scope.is_block:
                return True
            scope = scope.parent
        return False

    def enclosing(self, level: str) -> Scope | None:
        """The nearest scope of that level within the same run, this one included."""
        scope: Scope | None = self
        while scope is not None and scope.run is self.run:
            if scope.level == level:
                return scope
            scope = scope.parent
        return None


current: ContextVar[Scope | None] = ContextVar("tailrace_scope", default=None)


caller: ContextVar[tuple[str, Scope | None] | None] = ContextVar("tailrace_caller", default=None)
"""Inside `tailrace.extract`: traceparent of a caller that is not part of a run, and what was current before."""


def outwards(scope: Scope | None) -> Scope | None:
    """The innermost scope from this one outwards whose run is open."""
    while scope is not None and not scope.run.is_open:
        scope = scope.parent
    return scope


def innermost() -> Scope | None:
    """The innermost scope in this context whose run is open, of whatever workflow."""
    return outwards(current.get())


def parent_of_run() -> str | None:
    """What a run that begins in this context begins in, as a traceparent; None if in nothing."""
    told, scope = caller.get(), current.get()
    if told is not None and told[1] is scope:
        return told[0]
    open_scope = innermost()
    return open_scope.traceparent if open_scope is not None else _span_of_opentelemetry()


def _span_of_opentelemetry() -> str | None:
    """The current span, where the program itself uses OpenTelemetry."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    try:
        span = trace.get_current_span().get_span_context()
        return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags & 1:02x}" if span.is_valid else None
    except Exception:  # noqa: BLE001 - another library's code, half imported perhaps
        return None


def scope_of(workflow: str, *, ambient: bool = False) -> Scope | None:
    """The innermost open scope of a run of that workflow, in this context; with `ambient`, also of such a run."""
    scope = current.get()
    while scope is not None:
        run = scope.run
        if run.is_open and (run.workflow == workflow or (ambient and run.is_ambient)):
            return scope
        scope = scope.parent
    return None
