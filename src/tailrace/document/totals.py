"""What a document's JSON says beyond its events: state, counts, tokens, cost, agents, integrity.

All of it is derived from the sets at each rendering, never stored, so that joining needs no arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from tailrace.document import shape
from tailrace.document.columns import added_up
from tailrace.document.intervals import Intervals
from tailrace.document.parsed import Parsed
from tailrace.event import types

ABSENCE = (types.PRODUCER_LOST, types.RUN_ABANDONED)
"""Types of the events that say that a run's producer is gone."""
_LIMIT, _WHOLE_LIMIT = 1e15, 10**15
_NUMBERS = (int, float)
_loose = msgspec.json.Decoder()


def add_totals(element: dict[str, Any], received: Mapping[str, Intervals], events: Sequence[Parsed]) -> None:
    """Write the derived fields into the view of these events, in order; `received`: per producer, what came of it."""
    state = _state(element, events)
    element["state"] = state
    if state == shape.ABANDONED:
        element["final_status"] = shape.ABANDONED
    actions = list(_actions(element))
    kinds = [event.type for event in events]
    element["agents"] = sorted({event.agent for event in events} - {""})
    interactions = sum(len(it["interactions"]) for it in element["iterations"]) + len(element["interactions"])
    element["counts"] = {
        "iterations": len(element["iterations"]),
        "interactions": interactions,
        "actions": len(actions),
        **{name: len(element[name]) for name in shape.FACTS.values()},
        "events": len(kinds) - sum(map(kinds.count, shape.DECISIONS)),
    }
    element["tokens"] = _tokens(actions)
    element["cost_usd"] = _cost(actions)
    dropped = _dropped(events) if types.DROPPED in kinds else {}
    element["integrity"] = _integrity(received, dropped, complete=state == shape.COMPLETE)
    element.setdefault("sampling", dict(shape.NOT_SAMPLED))


def _state(element: dict[str, Any], events: Sequence[Parsed]) -> str:
    if "end_event" in element:
        return shape.COMPLETE  # as most are, and then the times need not be looked at
    absent = max((event.ts for event in events if event.type in ABSENCE), default=None)
    heard = max((event.ts for event in events if event.type not in ABSENCE), default="")
    return state_of(ended=False, absent=absent, heard=heard)


def state_of(*, ended: bool, absent: str | None, heard: str) -> str:
    """A run is abandoned while nothing was heard of it after the last word on its absence."""
    if ended:
        return shape.COMPLETE
    return shape.ABANDONED if absent is not None and absent >= heard else shape.OPEN


def _actions(element: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from element["actions"]
    for interaction in element["interactions"]:
        yield from interaction["actions"]
    for iteration in element["iterations"]:
        yield from iteration.get("actions", ())
        for interaction in iteration["interactions"]:
            yield from interaction["actions"]


def _tokens(actions: Sequence[dict[str, Any]]) -> dict[str, float]:
    raws = [action["tokens"] for action in actions if "tokens" in action]
    totals = added_up(raws)
    if totals is None:
        totals = {}
        for value in _loosely(raws):
            add_tokens(totals, value)
    return dict(sorted(totals.items()))


def tokens_of(raw: msgspec.Raw | None) -> dict[str, float]:
    """What an action's `tokens` add to the totals: by name, with their sum as `total` where it states none."""
    totals: dict[str, float] = {}
    add_tokens(totals, _alone(raw))
    return totals


def add_tokens(totals: dict[str, float], value: Any) -> None:
    """Add what an action's decoded `tokens` come to."""
    parts = value if isinstance(value, dict) else {"total": value}
    counted: float | None = None
    for name, number in parts.items():
        # `is_number`, without a call for each, and without comparing an int with a float.
        is_whole = number.__class__ is int and -_WHOLE_LIMIT < number < _WHOLE_LIMIT
        if is_whole or (number.__class__ is float and -_LIMIT < number < _LIMIT):
            totals[name] = totals.get(name, 0) + number
            # Not `sum`, which rounds floats in another way since Python 3.12: totals must not depend on that.
            counted = number if counted is None else counted + number
    if counted is not None and ("total" not in parts or not is_number(parts["total"])):
        totals["total"] = totals.get("total", 0) + counted


def _cost(actions: Sequence[dict[str, Any]]) -> float:
    costs = _loosely([action["cost"] for action in actions if "cost" in action])
    if set(map(type, costs)) != {float} or not -_LIMIT < min(costs) <= max(costs) < _LIMIT:
        costs = [cost for cost in costs if is_number(cost)]
    return math.fsum(costs)


def cost_of(raw: msgspec.Raw | None) -> float:
    """What an action's `cost` adds to the total."""
    value = _alone(raw)
    return value if is_number(value) else 0.0


def _loosely(raws: Sequence[msgspec.Raw]) -> list[Any]:
    """The values; None for a number that no float can hold."""
    try:
        values: list[Any] = _loose.decode(b"[%b]" % b",".join(raws))
    except msgspec.MsgspecError:
        return [_alone(raw) for raw in raws]
    return values


def _alone(raw: msgspec.Raw | None) -> Any:
    if raw is None:
        return None
    try:
        return _loose.decode(raw)
    except msgspec.MsgspecError:
        return None


def is_number(value: Any) -> bool:
    """Numbers that can be summed: a hostile 1e300 must not turn a total into infinity."""
    return type(value) in _NUMBERS and -_LIMIT < value < _LIMIT


def _integrity(received: Mapping[str, Intervals], dropped: dict[str, int], *, complete: bool) -> dict[str, Any]:
    """What was received of what the producers counted; `complete` claims that nothing is missing or to come."""
    gaps = {pid: holes for pid, numbers in sorted(received.items()) if (holes := numbers.gaps())}
    return {
        # What an override drops was not wanted: nothing is missing.
        "complete": complete and not gaps and all(reason.startswith(types.BY_OVERRIDE) for reason in dropped),
        "expected": sum(numbers.expected() for numbers in received.values()),
        "received": sum(numbers.count() for numbers in received.values()),
        "dropped": dropped,
        "gaps": gaps,
        "producers": {pid: numbers.spans() for pid, numbers in sorted(received.items())},
    }


def _dropped(events: Sequence[Parsed]) -> dict[str, int]:
    """How many events the producers dropped, by reason."""
    dropped: dict[str, int] = {}
    for event in events:
        if event.type == types.DROPPED:
            for reason, count in _reasons(event).items():
                dropped[reason] = dropped.get(reason, 0) + count
    return dropped


def _reasons(event: Parsed) -> dict[str, int]:
    try:
        return msgspec.json.decode(msgspec.json.encode(event.data), type=types.Dropped).reasons
    except msgspec.MsgspecError:
        return {}
