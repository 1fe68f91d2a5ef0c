"""An event that is not accepted yet, as overrides see it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from tailrace.logger.context import Scope, name_of
from tailrace.spool.frame import Frame

_TOPIC = re.compile(r"(?!\.\.?$)[A-Za-z0-9._-]{1,249}")
"""What Kafka takes for a topic's name."""
_MASK = "[redacted]"


class Draft:
    """One event on its way to the spool. Set `data[...]`, `agent` or `topic` to change it.

    Valid only during the call of the override that was given it. The values in `data` are the caller's own objects:
    replace them, do not change them in place. Secrets are masked afterwards, in what the overrides left.
    """

    __slots__ = ("_agent", "_data", "_given", "_scope", "_topic", "type")

    def __init__(self, scope: Scope, type_: str, given: msgspec.Struct) -> None:
        self._scope = scope
        self._given = given
        self._agent = scope.agent
        self._topic = scope.topic or scope.run.topic
        self.type = type_
        """A type of `tailrace.event.types`, such as `action`, `log`, `interaction.end`. Setting it changes nothing."""
        self._data: dict[str, Any] | None = None

    @property
    def data(self) -> dict[str, Any]:
        """The payload by field: `action_name`, `input_data`, `message`, `level`, `fields`, ...

        A key that the type does not have goes to its `fields` (of an end: to its `outcome`).

        Raises:
            TypeError: when set to what is not a dict.
        """
        if self._data is None:
            self._data = msgspec.structs.asdict(self._given)
        return self._data

    @data.setter
    def data(self, data: dict[str, Any]) -> None:
        if not isinstance(data, dict):
            raise TypeError(f"an event's `data` stays a dict, which {type(data).__name__} is not")
        self._data = data

    @property
    def workflow(self) -> str:
        """Name of the workflow."""
        return self._scope.run.workflow

    @property
    def run(self) -> str:
        """Id of the run."""
        return self._scope.run.run_id

    @property
    def iteration(self) -> str:
        """Id of the iteration that the event belongs to, or empty."""
        return self._scope.iteration

    @property
    def interaction(self) -> str:
        """Id of the interaction that the event belongs to, or empty."""
        return self._scope.interaction

    @property
    def action(self) -> str:
        """Id of the action block that the event belongs to, or empty."""
        return self._scope.action

    @property
    def agent(self) -> str:
        """Name of the agent that speaks, or empty."""
        return self._agent

    @agent.setter
    def agent(self, name: str) -> None:
        self._agent = name_of(name)

    @property
    def topic(self) -> str:
        """The topic that the event goes to.

        Consumers read `<prefix>.events.*`: an event on another such topic joins its run's document, one on any other
        topic is for other subscribers, and the document shows that it lacks it.

        Raises:
            ValueError: when set to what cannot be a topic's name.
        """
        return self._topic

    @topic.setter
    def topic(self, name: str) -> None:
        self.check_topic(name)
        self._topic = name

    @staticmethod
    def check_topic(name: str) -> None:
        """Raises ValueError for what cannot be a topic's name."""
        if not _TOPIC.fullmatch(name):
            raise ValueError(f"{name!r} is not a topic's name; it takes 1 to 249 of A-Z a-z 0-9 . _ -")

    def redact(self, *keys: str) -> None:
        """Mask these keys of `data`, where they are set."""
        for key in keys:
            if self.data.get(key) not in (None, {}):
                self.data[key] = {"masked": _MASK} if key in ("fields", "outcome") else _MASK

    def copy(self) -> Draft:
        """The draft as it is now."""
        copy = Draft(self._scope, self.type, self._given)
        copy._agent, copy._topic = self._agent, self._topic
        copy._data = self._data and self._data.copy()
        return copy

    def scope(self) -> Scope:
        """The event's place, with what was changed of it."""
        scope = self._scope
        if self._agent != scope.agent:
            scope = scope.spoken_by(self._agent)
        if self._topic != (scope.topic or scope.run.topic):
            scope = scope.on_topic(self._topic)
        return scope

    def payload(self) -> msgspec.Struct:
        """`data` as the Struct of the event's type. What it lacks and cannot do without is as it was given."""
        if self._data is None:
            return self._given
        known = self._given.__struct_fields__
        rest = "outcome" if "outcome" in known else "fields"
        data = {key: value for key, value in self._data.items() if key in known}
        if strange := {key: value for key, value in self._data.items() if key not in known}:
            held = data.get(rest)
            data[rest] = {**(held if isinstance(held, dict) else {}), **strange}
        return msgspec.structs.replace(self._given, **{key: data[key] for key in known if key in data})


Write = Callable[[Draft], Frame | None]
"""Hands the draft on: to the next override that matches, at last to the spool. Returns the event as it was accepted
(`.value`: its JSON as on the bus, secrets masked), or None if it was not."""
Function = Callable[[Draft, Write], object]
"""An override: calls `write` to let the event go on, as it is or changed; returns without, to drop it."""
