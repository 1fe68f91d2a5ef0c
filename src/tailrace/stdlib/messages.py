"""An event as a line of a log: its level and its text."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from tailrace.event import Event, types

_MAX_SHOWN = 1_000
"""Characters of a payload in a line; the record's `data` has all of it."""

Said = dict[str, Any]
"""An event's data, with its `agent` and `workflow`."""


def describe(event: Event, data: dict[str, Any]) -> tuple[int, str]:
    """Level and text. `data`: the event's, decoded."""
    level, text = _LINES.get(event.type, (logging.DEBUG, lambda _: event.type))
    said = {**data, "agent": event.agent, "workflow": event.workflow}
    return level if isinstance(level, int) else level(said), text(said)


def _level_of_log(said: Said) -> int:
    return types.LEVELS.get(str(said.get("level")), logging.INFO)


def _level_of_end(said: Said) -> int:
    return logging.ERROR if "error" in said else logging.INFO


def _level_of_action(said: Said) -> int:
    return logging.WARNING if "error" in said else logging.DEBUG


def _action(said: Said) -> str:
    return f"{_speaker(said)}performed {said.get('action_name')}{_with_data(said)}{_with_output(said)}"


def _action_start(said: Said) -> str:
    return f"{_speaker(said)}starts {said.get('action_name')}{_with_data(said)}"


def _action_end(said: Said) -> str:
    return f"{_speaker(said)}ends an action{_with_status(said)}{_with_output(said)}"


def _error(said: Said) -> str:
    exception = said.get("exception")
    cause = f": {exception.get('type')}: {exception.get('message')}" if isinstance(exception, dict) else ""
    return f"{said.get('error_msg')}{cause}"


def _speaker(said: Said) -> str:
    return f"Agent {said['agent']} " if said["agent"] else ""


def _with_status(said: Said) -> str:
    return f" with status {said['status']}" if said.get("status") else ""


def _with_data(said: Said) -> str:
    return _with("data", said.get("input_data"))


def _with_output(said: Said) -> str:
    return _with("output", said.get("output_data"))


def _with(name: str, value: Any) -> str:
    if value is None:
        return ""
    shown = repr(value)
    return f" with {name}={shown if len(shown) <= _MAX_SHOWN else shown[:_MAX_SHOWN] + '...'}"


_LINES: dict[str, tuple[int | Callable[[Said], int], Callable[[Said], str]]] = {
    types.RUN_START: (logging.INFO, lambda said: f"Starting workflow {said['workflow']}"),
    types.RUN_END: (_level_of_end, lambda said: f"Workflow {said.get('final_status')}."),
    types.ITERATION_START: (logging.INFO, lambda said: f"Starting iteration {said.get('iteration_id')}"),
    types.ITERATION_END: (logging.INFO, lambda said: f"Ending iteration{_with_status(said)}"),
    types.INTERACTION_START: (logging.INFO, lambda said: f"Agent {said.get('agent_name')} begins{_with_data(said)}"),
    types.INTERACTION_END: (logging.INFO, lambda said: f"{_speaker(said)}ends{_with_status(said)}{_with_output(said)}"),
    types.ACTION: (_level_of_action, _action),
    types.ACTION_START: (logging.DEBUG, _action_start),
    types.ACTION_END: (_level_of_action, _action_end),
    types.RESOURCE: (logging.INFO, lambda said: f"Resource {said.get('resource_name')}"),
    types.ERROR: (logging.ERROR, _error),
    types.LOG: (_level_of_log, lambda said: str(said.get("message"))),
    types.DROPPED: (logging.WARNING, lambda said: f"Events were dropped, by reason: {said.get('reasons')}"),
}
"""Type -> level and text, each as it is or from the data."""
