"""Overrides: functions of the program's own around the acceptance of the events that they match.

    @tailrace.override(workflow="support-*", agent="planner")
    def without_prompts(event, write):
        event.redact("input_data")
        write(event)

An override changes, drops, re-routes or copies events; `drop`, `redact`, `route`, `tee` and `level` are ready ones. It
runs in the logging call, in the caller's thread: what it costs, the call costs, for the events that it matches.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, overload

from tailrace.event import types
from tailrace.logger import state
from tailrace.logger.chain import Rule
from tailrace.logger.draft import Draft, Function, Write
from tailrace.logger.tee import tee

__all__ = ["Draft", "Override", "Write", "drop", "level", "override", "redact", "route", "tee"]


class Override:
    """An installed override. Calling it calls its function; as a `with` block, it is removed at the block's end."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self.__wrapped__ = rule.function
        self.__doc__ = getattr(rule.function, "__doc__", None)

    def __call__(self, event: Draft, write: Write) -> object:
        return self._rule.function(event, write)

    def __repr__(self) -> str:
        return f"<override {self._rule.name}>"

    def remove(self) -> None:
        """Undo the installation. More than once does nothing more; any thread."""
        state.change_chain(lambda chain: chain.without(self._rule))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


@overload
def override(
    function: None = None, /, *, workflow: str | None = None, agent: str | None = None, action: str | None = None
) -> Callable[[Function], Override]: ...
@overload
def override(
    function: Function, /, *, workflow: str | None = None, agent: str | None = None, action: str | None = None
) -> Override: ...
def override(
    function: Function | None = None,
    /,
    *,
    workflow: str | None = None,
    agent: str | None = None,
    action: str | None = None,
) -> Override | Callable[[Function], Override]:
    """Install a function `(event, write)` around the acceptance of each event that all the given names match.

    As a decorator, or with the function as first argument. Names may be patterns (`billing-*`); one that is not given
    matches everything. `workflow` is the run's, `agent` who speaks or whose interaction it is, `action` the one logged
    or the block that the event happened in.

    The function gets a `Draft` and calls `write(event)` to let it go on: to the override installed next, at last to the
    spool. It drops the event by returning without; that counts in `stats().dropped` and in the document's `integrity`
    as `override:<name>`. What it raises is counted (`stats().overrides_failed`), shown once, and the event goes on as
    it was before. Logging calls of its own are recorded past all overrides. Secrets are masked after the last one.

    Any thread; holds for all workflows of the process, through `configure_logger` and in forked children. Overrides of
    installed packages, in the entry-point group `tailrace.overrides`, are installed with the process's first event.

    Raises:
        TypeError: `function` cannot be called.
    """

    def install(function: Function) -> Override:
        if not callable(function):
            raise TypeError(f"an override is a function (event, write), not {type(function).__name__}")
        rule = Rule(function, workflow, agent, action)
        state.change_chain(lambda chain: chain.adding(rule))
        return Override(rule)

    return install if function is None else install(function)


def drop(event: Draft, write: Write) -> None:
    """Drops what it matches: `override(overrides.drop, action="heartbeat")`."""


def redact(*keys: str) -> Function:
    """Masks these keys of `data`: `override(overrides.redact("input_data", "output_data"), agent="hr-*")`."""

    def redact(event: Draft, write: Write) -> None:
        event.redact(*keys)
        write(event)

    return redact


def route(topic: str) -> Function:
    """Sends what it matches to another topic; see `Draft.topic` for which topics the consumers read.

    Raises:
        ValueError: not a topic's name.
    """
    Draft.check_topic(topic)

    def route(event: Draft, write: Write) -> None:
        event.topic = topic
        write(event)

    return route


class level:  # noqa: N801 - used as a function, like its neighbours
    """Records log lines of what it matches from this level on, whatever the verbosity says: higher or lower.

    Where several match, the one installed last decides.

    Raises:
        ValueError: not one of DEBUG, INFO, WARNING, ERROR, CRITICAL.
    """

    def __init__(self, name: str) -> None:
        if name not in types.LEVELS:
            raise ValueError(f"{name!r} is not a level; it takes one of {', '.join(types.LEVELS)}")
        self.level = types.LEVELS[name]

    def __call__(self, event: Draft, write: Write) -> Any:
        return write(event)
