"""The shape of a document's JSON: which keys a node has, and which of them come from its start and its end event.

`view` writes by these tables and `restore` reads by them, so that each event has exactly one place:

- a node (iteration, interaction, action; the run itself) merges the `data` of its start and end event. Keys that the
  table does not give to that half stand in `start_extra` / `end_extra`: a newer producer's fields are kept, apart;
- a fact (resource, error, log line, action logged in one call) is one element with its `data` merged in;
- what does not fit (unknown types, a second start of a node, ids that contradict) stands whole in `other_events`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from tailrace.document.parsed import Parsed
from tailrace.event import types

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


class Context(NamedTuple):
    """Where in the tree an element stands; the fields are those of `CONTEXT`."""

    iteration: str = ""
    interaction: str = ""
    action: str = ""
    agent: str = ""


class Placed(NamedTuple):
    """The keys of a payload, sorted."""

    inside: list[str]
    """Those that stand in the element itself."""
    left: list[str]
    as_it_is: bool
    """All stand in the element itself, and the payload has them in order already."""


class Places(dict[tuple[str, ...], Placed]):
    """A payload's keys -> their places, by what `takes` says of each key.

    Payloads have few sets of keys, over and over. What is remembered is bounded, whatever keys come.
    """

    def __init__(self, takes: Callable[[str], bool]) -> None:
        super().__init__()
        self._takes = takes

    def __missing__(self, keys: tuple[str, ...]) -> Placed:
        ordered = sorted(keys)
        takes = self._takes
        inside = [key for key in ordered if takes(key)]
        placed = Placed(inside, [key for key in ordered if not takes(key)], as_it_is=inside == list(keys))
        if sum(map(len, keys)) <= _MAX_KEY_CHARACTERS:
            if len(self) >= _MAX_PLACES:
                self.clear()
            self[keys] = placed
        return placed


_MAX_PLACES = 1_000
_MAX_KEY_CHARACTERS = 500


class NodeShape:
    """How one kind of node stands in the JSON."""

    def __init__(
        self,
        start_type: str,
        end_type: str,
        start_time: str,
        end_time: str,
        end_keys: frozenset[str],
        start_keys: frozenset[str] | None = None,
    ) -> None:
        """`start_keys` None: all but `end_keys` and the structure."""
        self.start_type = start_type
        self.end_type = end_type
        self.start_time = start_time
        self.end_time = end_time
        self._end_keys = end_keys
        self._start_keys = start_keys
        self.start_places = Places(self.of_start)
        self.end_places = Places(self.of_end)

    def of_start(self, key: str) -> bool:
        if self._start_keys is not None:
            return key in self._start_keys
        return key not in self._end_keys and key not in STRUCTURE

    def of_end(self, key: str) -> bool:
        return key in self._end_keys


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

DECISIONS = frozenset({types.RUN_SAMPLED, types.RUN_DROPPED})
"""The sampler's words on a run: in `sampling`, and not counted among the run's events."""
NOT_SAMPLED = {"rate": 1.0, "reason": "all", "weight": 1.0}
"""`sampling` of a run that no sampler has marked."""

IN_PROGRESS = "in_progress"
OPEN = "open"
COMPLETE = "complete"
ABANDONED = "abandoned"


def belongs(event: Parsed) -> tuple[str, str, str]:
    return (event.iteration, event.interaction, event.action)


def is_free(key: str) -> bool:
    """Whether a fact's `data` key can stand beside the structure."""
    return key not in STRUCTURE


def is_free_of_decision(key: str) -> bool:
    """The same for the sampler's decision, beside which the others of its kind stand."""
    return is_free(key) and key != "decisions"


FACT_PLACES = Places(is_free)
DECISION_PLACES = Places(is_free_of_decision)


def text(raw: msgspec.Raw | None) -> str:
    """A JSON string's value; "" for anything else."""
    if raw is None or bytes(memoryview(raw)[:1]) != b'"':
        return ""
    return msgspec.json.decode(raw, type=str)
