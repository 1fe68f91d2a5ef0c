"""For the tests of programs that log: what they logged, a clock to set, a bus and a store in memory.

    def test_the_planner_asks_once(tailrace_events):
        plan("Where is order 17?")
        assert [action["action_name"] for action in tailrace_events.document["interactions"][0]["actions"]] == ["chat"]

pytest finds the fixtures by itself (`tailrace.testing.plugin`); elsewhere `capture_events` is a block.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tailrace.testing.capture import CapturedEvents, capture_events
    from tailrace.testing.clock import FakeClock
    from tailrace.testing.memory import InMemory, in_memory

__all__ = ["CapturedEvents", "FakeClock", "InMemory", "capture_events", "in_memory"]

_PLACES = {
    "CapturedEvents": "tailrace.testing.capture",
    "FakeClock": "tailrace.testing.clock",
    "InMemory": "tailrace.testing.memory",
    "capture_events": "tailrace.testing.capture",
    "in_memory": "tailrace.testing.memory",
}


def __getattr__(name: str) -> Any:
    """Imported when asked for: pytest imports this package in every session, for its plugin."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)
