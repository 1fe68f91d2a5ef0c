"""Where in a run a call is made: ids in one context variable, so that agents on one loop or in threads never mix."""

from __future__ import annotations

import itertools
import os
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
        "count",
        "dropped",
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
        self.dropped: dict[str, int] = {}
        self.reported: BaseException | None = None
        """The exception last recorded, while it travels outwards through the scopes."""
        self.kept: list[bytes] | None = [] if keep else None
        """The run's events of this process, only while `logs_dir` is set and the run is open."""


class Scope:
    """One level of a run; immutable. `parent` is the level that is current again when this one ends."""

    __slots__ = (
        *("action", "action_name", "agent", "interaction", "iteration", "level", "parent"),
        *("route", "routed_for", "run", "topic"),
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
        spoken.action_name = self.action_name
        return spoken

    def on_topic(self, topic: str) -> Scope:
        """The same place, with its events on another topic."""
        moved = self.spoken_by(self.agent)
        moved.topic = topic
        return moved

    def parent_of_turn(self, outer: Scope | None) -> str | None:
        """The interaction of the same run that is open at `outer`, where a turn of this scope begins."""
        return outer.interaction or None if outer is not None and outer.run is self.run else None

    def enclosing(self, level: str) -> Scope | None:
        """The nearest scope of that level within the same run, this one included."""
        scope: Scope | None = self
        while scope is not None and scope.run is self.run:
            if scope.level == level:
                return scope
            scope = scope.parent
        return None


current: ContextVar[Scope | None] = ContextVar("tailrace_scope", default=None)


def scope_of(workflow: str) -> Scope | None:
    """The innermost open scope of a run of that workflow, in this context."""
    scope = current.get()
    while scope is not None:
        if scope.run.workflow == workflow and scope.run.is_open:
            return scope
        scope = scope.parent
    return None
