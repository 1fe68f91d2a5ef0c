"""Overrides in action: which of them match an event, and their calls around its acceptance."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import msgspec

from tailrace.event import types
from tailrace.logger.context import Scope, current
from tailrace.logger.draft import Draft, Function, Write
from tailrace.spool.frame import Frame

if TYPE_CHECKING:
    from tailrace.logger.recorder import Recorder

_MAX_KNOWN = 10_000
"""Combinations of workflow, agent and action whose matches are remembered."""


class _Here(threading.local):
    busy = False
    """Whether an override of this thread is running."""


_here = _Here()


class Rule:
    """A function with what it is for: names, or patterns with `*`, `?` and `[...]`; None matches everything."""

    __slots__ = ("action", "agent", "function", "level", "name", "told", "workflow")

    def __init__(
        self, function: Function, workflow: str | None = None, agent: str | None = None, action: str | None = None
    ) -> None:
        self.function = function
        self.workflow, self.agent, self.action = workflow, agent, action
        self.name: str = getattr(function, "__qualname__", "") or type(function).__qualname__
        self.level: int | None = getattr(function, "level", None)
        """Instead of the verbosity, for the log lines that it matches."""
        self.told = False
        """Whether a failure of it has been shown."""

    def matches(self, workflow: str, agent: str, action: str) -> bool:
        wanted = ((self.workflow, workflow), (self.agent, agent), (self.action, action))
        return all(pattern is None or fnmatchcase(name, pattern) for pattern, name in wanted)


class Chain:
    """The installed rules, in the order in which they were installed: the first is nearest to the caller. Immutable.

    Calls that an override makes itself are not overridden again, so that none runs for ever.
    """

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self.rules = tuple(rules)
        self._known: dict[tuple[str, str, str], tuple[Rule, ...]] = {}

    def adding(self, rule: Rule) -> Chain:
        return Chain((*self.rules, rule))

    def without(self, rule: Rule) -> Chain:
        return Chain([each for each in self.rules if each is not rule])

    def attach(self, recorder: Recorder) -> None:
        """Have the recorder's calls come here; with no rules, they do not."""
        levels = [rule.level for rule in self.rules if rule.level is not None]
        recorder.lowest_level = min([types.LEVELS[recorder.config.verbosity], *levels])
        recorder.intercept = self.record if self.rules else None

    def record(
        self, recorder: Recorder, scope: Scope, type_: str, data: msgspec.Struct, told: list[Frame] | None = None
    ) -> bool:
        """As `Recorder.record`, through the overrides that match."""
        if _here.busy:
            return recorder.record(scope, type_, data, direct=True, told=told)
        name = getattr(data, "action_name", None) if type_ in (types.ACTION, types.ACTION_START) else scope.action_name
        key = (scope.run.workflow, scope.agent, name if isinstance(name, str) else "")
        rules = self._known.get(key)
        if rules is None:
            rules = self._matching(key)
        if type_ == types.LOG and types.LEVELS.get(data.level, 20) < _threshold(recorder, rules):  # type: ignore[attr-defined]
            return False
        if not rules:
            return recorder.record(scope, type_, data, direct=True, told=told)
        _here.busy, place = True, current.get()
        if place is not scope:
            current.set(scope)  # what an override logs belongs where the event does
        try:
            return _Passage(recorder, rules, scope, told).start(Draft(scope, type_, data), data)
        finally:
            _here.busy = False
            if current.get() is not place:
                current.set(place)

    def _matching(self, key: tuple[str, str, str]) -> tuple[Rule, ...]:
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        return self._known.setdefault(key, tuple(rule for rule in self.rules if rule.matches(*key)))


def _threshold(recorder: Recorder, rules: Sequence[Rule]) -> int:
    """The level below which log lines are not recorded: of the last matching rule that sets one, else the verbosity."""
    levels = [rule.level for rule in rules if rule.level is not None]
    return levels[-1] if levels else types.LEVELS[recorder.config.verbosity]


class _Passage:
    """One event on its way through the rules that match it."""

    __slots__ = ("accepted", "recorder", "rules", "scope")

    def __init__(
        self, recorder: Recorder, rules: Sequence[Rule], scope: Scope, told: list[Frame] | None = None
    ) -> None:
        self.recorder = recorder
        self.rules = rules
        self.scope = scope
        self.accepted = [] if told is None else told

    def start(self, draft: Draft, data: msgspec.Struct) -> bool:
        """Whether the event was accepted."""
        try:
            self._pass(0, draft)
        except Exception as error:  # noqa: BLE001 - of ours: a rule's own does not come here
            self.recorder.override_failed(self.rules[0], error)
            if not self.accepted:
                self.recorder.record(self.scope, draft.type, data, direct=True, told=self.accepted)
        return bool(self.accepted)

    def _pass(self, place: int, draft: Draft) -> Frame | None:
        """Through the rule at `place` and those behind it; returns what was accepted last."""
        if place == len(self.rules):
            return self._accept(draft)
        rule = self.rules[place]
        before = draft.copy()
        step = _Step(lambda given: self._pass(place + 1, given))
        try:
            rule.function(draft, step.write)
        except Exception as error:  # noqa: BLE001 - the override's own code
            self.recorder.override_failed(rule, error)
            if not step.is_written:
                step.write(before)
        finally:
            step.is_over = True
        if not step.is_written:
            self.recorder.drop_by_override(self.scope.run, rule.name)
        return step.accepted

    def _accept(self, draft: Draft) -> Frame | None:
        is_accepted = self.recorder.record(draft.scope(), draft.type, draft.payload(), direct=True, told=self.accepted)
        return self.accepted[-1] if is_accepted else None


class _Step:
    """The `write` that one rule is given for one event."""

    __slots__ = ("_onward", "accepted", "is_over", "is_written")

    def __init__(self, onward: Write) -> None:
        self._onward = onward
        self.is_written = self.is_over = False
        self.accepted: Frame | None = None

    def write(self, draft: Draft) -> Frame | None:
        if self.is_over:
            raise RuntimeError("an override may call `write` only until it returns")
        if not isinstance(draft, Draft):
            raise TypeError(f"`write` takes the event that the override was given, not {type(draft).__name__}")
        self.is_written = True
        self.accepted = self._onward(draft)
        return self.accepted
