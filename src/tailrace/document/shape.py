"""The shape of a document's JSON: which keys a node has, and which of them come from its start and its end event.

`view` writes by these tables and `restore` reads by them, so that each event has exactly one place:

- a node (iteration, interaction, action; the run itself) merges the `data` of its start and end event. Keys that the
  table does not give to that half stand in `start_extra` / `end_extra`: a newer producer's fields are kept, apart;
- a fact (resource, error, log line, action logged in one call) is one element with its `data` merged in;
- what does not fit (unknown types, a second start of a node, ids that contradict) stands whole in `other_events`.
"""

from __future__ import annotations

import msgspec

from tailrace.event import Event, types

CONTEXT = ("iteration", "interaction", "action", "agent")
"""What an event belongs to. An element states it only where it differs from its place in the tree."""

STRUCTURE = frozenset(
    {
        *("id", "event", "end_event", "timestamp", "started_at", "ended_at", "start_time", "end_time"),
        *("iterations", "interactions", "actions", "start_extra", "end_extra", "envelope", "end_envelope"),
        *CONTEXT,
        *(f"end_{name}" for name in CONTEXT),
    }
)
"""Keys of an element that do not come from `data`."""


class Context(msgspec.Struct, frozen=True):
    """Where in the tree an element stands."""

    iteration: str = ""
    interaction: str = ""
    action: str = ""
    agent: str = ""


class NodeShape(msgspec.Struct, frozen=True):
    """How one kind of node stands in the JSON."""

    start_type: str
    end_type: str
    start_time: str
    end_time: str
    end_keys: frozenset[str]
    start_keys: frozenset[str] | None = None
    """None: all but `end_keys` and the structure."""

    def of_start(self, key: str) -> bool:
        if self.start_keys is not None:
            return key in self.start_keys
        return key not in self.end_keys and key not in STRUCTURE

    def of_end(self, key: str) -> bool:
        return key in self.end_keys


RUN = NodeShape(
    types.RUN_START,
    types.RUN_END,
    "start_time",
    "end_time",
    frozenset({"final_status", "error", "outcome"}),
    frozenset({"verbosity", "session", "tags", "parent", "fields"}),
)
ITERATION = NodeShape(
    types.ITERATION_START, types.ITERATION_END, "started_at", "ended_at", frozenset({"status", "error", "outcome"})
)
INTERACTION = NodeShape(
    types.INTERACTION_START,
    types.INTERACTION_END,
    "start_time",
    "end_time",
    frozenset({"output_data", "status", "error", "outcome"}),
)
ACTION = NodeShape(
    types.ACTION_START,
    types.ACTION_END,
    "timestamp",
    "end_time",
    frozenset({"output_data", "duration_ms", "model", "tokens", "cost", "status", "error", "outcome"}),
)

NODES = {"iteration": ITERATION, "interaction": INTERACTION, "action": ACTION}
"""Field of `Event` that carries the node's id -> its shape."""

FACTS = {types.RESOURCE: "resources", types.ERROR: "errors", types.LOG: "logs"}
"""Event type -> the top-level list of its elements."""

IN_PROGRESS = "in_progress"
OPEN = "open"
COMPLETE = "complete"
ABANDONED = "abandoned"


def belongs(event: Event) -> tuple[str, str, str]:
    return (event.iteration, event.interaction, event.action)


def is_free(key: str) -> bool:
    """Whether a fact's `data` key can stand beside the structure."""
    return key not in STRUCTURE


def text(raw: msgspec.Raw | None) -> str:
    """A JSON string's value; "" for anything else."""
    if raw is None or bytes(memoryview(raw)[:1]) != b'"':
        return ""
    return msgspec.json.decode(raw, type=str)
