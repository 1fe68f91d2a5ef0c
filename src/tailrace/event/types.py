"""What `data` holds, per event type. Fields are only added, with defaults; readers carry unknown ones along.

A node (iteration, interaction, action) has a start and an end event that share the node's id, so that a run can be
read while it goes on and after its process was killed. `action` is both halves at once: what `log_action` records.
"""

from __future__ import annotations

from typing import Any

import msgspec

RUN_START = "run.start"
RUN_END = "run.end"
ITERATION_START = "iteration.start"
ITERATION_END = "iteration.end"
INTERACTION_START = "interaction.start"
INTERACTION_END = "interaction.end"
ACTION = "action"
ACTION_START = "action.start"
ACTION_END = "action.end"
RESOURCE = "resource"
ERROR = "error"
LOG = "log"
DROPPED = "dropped"
"""The producer could not keep events of this run; `data` counts them by reason."""
RUN_SAMPLED = "run.sampled"
"""The sampler's decision on a kept run (only on `<prefix>.sampled.*`)."""
RUN_DROPPED = "run.dropped"
"""The sampler's decision on a dropped run, and what the run came to (only inside documents)."""
PRODUCER_LOST = "producer.lost"
"""The process that opened the run is gone and the run had not ended."""
RUN_ABANDONED = "run.abandoned"
"""Nothing was heard of the run for `aggregate.abandon_after` (only inside documents)."""


CODES = {
    type_: code
    for code, type_ in enumerate(
        (
            RUN_START,
            RUN_END,
            ITERATION_START,
            ITERATION_END,
            INTERACTION_START,
            INTERACTION_END,
            ACTION,
            ACTION_START,
            ACTION_END,
            RESOURCE,
            ERROR,
            LOG,
            DROPPED,
        ),
        start=1,
    )
}
"""Of the types that a logger records: their numbers on the spool. Types are only added at the end."""


LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
"""Of log lines: name -> number, as in `logging`."""
BY_OVERRIDE = "override:"
"""Begins the reason of a drop that an override of the program's own wanted."""


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """An exception: type, message, and the formatted traceback where it was first seen."""

    type: str
    message: str
    traceback: str = ""


class _Data(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of all payloads: fields at their default are left out on the wire.

    What documents show stands in the order of its names here: so it does there, and is taken over as it is.
    """


# `fields` are what the caller added at the start (or to a fact), `outcome` what it added until the end.


class RunStart(_Data, frozen=True, kw_only=True):
    fields: dict[str, Any] = {}
    parent: str | None = None
    """Traceparent of what it began in: a node of another run, or a span of another tracing system."""
    session: str | None = None
    tags: list[str] = []
    verbosity: str


class RunEnd(_Data, frozen=True, kw_only=True):
    error: Failure | None = None
    final_status: str
    outcome: dict[str, Any] = {}


class IterationStart(_Data, frozen=True, kw_only=True):
    fields: dict[str, Any] = {}
    iteration_id: Any
    parent: str | None = None
    """Id of the interaction or action in which it began; so also below."""


class IterationEnd(_Data, frozen=True, kw_only=True):
    error: Failure | None = None
    outcome: dict[str, Any] = {}
    status: str


class InteractionStart(_Data, frozen=True, kw_only=True):
    agent_name: str
    fields: dict[str, Any] = {}
    input_data: Any = None
    parent: str | None = None


class InteractionEnd(_Data, frozen=True, kw_only=True):
    error: Failure | None = None
    outcome: dict[str, Any] = {}
    output_data: Any = None
    status: str | None = None


class ActionStart(_Data, frozen=True, kw_only=True):
    action_name: str
    fields: dict[str, Any] = {}
    input_data: Any = None
    parent: str | None = None


class ActionEnd(_Data, frozen=True, kw_only=True):
    cost: float | None = None
    duration_ms: float | None = None
    error: Failure | None = None
    model: str | None = None
    outcome: dict[str, Any] = {}
    output_data: Any = None
    status: str | None = None
    tokens: Any = None


class Action(_Data, frozen=True, kw_only=True):
    action_name: str
    cost: float | None = None
    """US dollars."""
    duration_ms: float | None = None
    error: Failure | None = None
    fields: dict[str, Any] = {}
    input_data: Any = None
    model: str | None = None
    output_data: Any = None
    status: str | None = None
    tokens: Any = None
    """Total, or `{"input": ..., "output": ...}`."""


class Resource(_Data, frozen=True, kw_only=True):
    fields: dict[str, Any] = {}
    resource_name: Any


class Error(_Data, frozen=True, kw_only=True):
    error_msg: Any
    exception: Failure | None = None
    fields: dict[str, Any] = {}


class Log(_Data, frozen=True, kw_only=True):
    fields: dict[str, Any] = {}
    level: str
    message: Any


class Dropped(_Data, frozen=True):
    reasons: dict[str, int]


class Would(_Data, frozen=True):
    """What a dry run would have done."""

    keep: bool
    rate: float
    reason: str


class Sampled(_Data, frozen=True):
    rate: float
    """How likely it was that the run is kept."""
    reason: str
    """The policy that decided."""
    weight: float
    """For how many runs it stands in totals that are scaled up; 0 for one brought back by hand."""
    would: Would | None = None


class RunDropped(_Data, frozen=True):
    """A stub: what lists and totals need of a run whose events were not passed on."""

    rate: float
    reason: str
    state: str
    counts: dict[str, int]
    final_status: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    session: str | None = None
    agents: list[str] = []
    tags: list[str] = []
    tokens: dict[str, float] = {}
    cost_usd: float = 0.0


class ProducerLost(_Data, frozen=True):
    producer: str
    reason: str
    """`exit` (the process ended in order) or `died`."""


class Abandoned(_Data, frozen=True):
    reason: str
