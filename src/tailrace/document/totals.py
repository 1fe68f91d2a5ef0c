"""What a document's JSON says beyond its events: state, counts, tokens, cost, agents, integrity.

All of it is derived from the sets at each rendering, never stored, so that joining needs no arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from tailrace.document import Document, shape
from tailrace.event import Event, types

_ABSENCE = (types.PRODUCER_LOST, types.RUN_ABANDONED)
_LIMIT = 1e15
_loose = msgspec.json.Decoder()


def add_totals(element: dict[str, Any], document: Document, events: Sequence[Event]) -> None:
    """Write the derived fields into the view; `events` are the document's, in order."""
    state = _state(element, events)
    element["state"] = state
    if state == shape.ABANDONED:
        element["final_status"] = shape.ABANDONED
    actions = list(_actions(element))
    element["agents"] = sorted({event.agent for event in events if event.agent})
    interactions = sum(len(it["interactions"]) for it in element["iterations"]) + len(element["interactions"])
    element["counts"] = {
        "iterations": len(element["iterations"]),
        "interactions": interactions,
        "actions": len(actions),
        **{name: len(element[name]) for name in shape.FACTS.values()},
        "events": len(events),
    }
    element["tokens"] = _tokens(actions)
    element["cost_usd"] = _cost(actions)
    element["integrity"] = _integrity(document, events, complete=state == shape.COMPLETE)
    element.setdefault("sampling", {"rate": 1.0, "reason": "all", "weight": 1.0})


def _state(element: dict[str, Any], events: Sequence[Event]) -> str:
    """A run is abandoned while nothing was heard of it after the last word on its absence."""
    if "end_event" in element:
        return shape.COMPLETE
    absent = max((event.ts for event in events if event.type in _ABSENCE), default=None)
    heard = max((event.ts for event in events if event.type not in _ABSENCE), default="")
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
    totals: dict[str, float] = {}
    for action in actions:
        value = _loosely(action.get("tokens"))
        parts = value if isinstance(value, dict) else {"total": value}
        counted = {name: number for name, number in parts.items() if _is_number(number)}
        if counted and "total" not in counted:
            counted["total"] = sum(counted.values())
        for name, number in counted.items():
            totals[name] = totals.get(name, 0) + number
    return dict(sorted(totals.items()))


def _cost(actions: Sequence[dict[str, Any]]) -> float:
    costs = (_loosely(action.get("cost")) for action in actions)
    return math.fsum(cost for cost in costs if _is_number(cost))


def _loosely(raw: msgspec.Raw | None) -> Any:
    if raw is None:
        return None
    try:
        return _loose.decode(raw)
    except msgspec.MsgspecError:  # a number that no float can hold
        return None


def _is_number(value: Any) -> bool:
    """Numbers that can be summed: a hostile 1e300 must not turn a total into infinity."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LIMIT


def _integrity(document: Document, events: Sequence[Event], *, complete: bool) -> dict[str, Any]:
    """What was received of what the producers counted; `complete` claims that nothing is missing or to come."""
    gaps = {pid: holes for pid, numbers in sorted(document.received.items()) if (holes := numbers.gaps())}
    dropped: dict[str, int] = {}
    for event in events:
        if event.type == types.DROPPED:
            for reason, count in _reasons(event).items():
                dropped[reason] = dropped.get(reason, 0) + count
    return {
        # What an override drops was not wanted: nothing is missing.
        "complete": complete and not gaps and all(reason.startswith(types.BY_OVERRIDE) for reason in dropped),
        "expected": sum(numbers.expected() for numbers in document.received.values()),
        "received": sum(numbers.count() for numbers in document.received.values()),
        "dropped": dropped,
        "gaps": gaps,
        "producers": {pid: numbers.spans() for pid, numbers in sorted(document.received.items())},
    }


def _reasons(event: Event) -> dict[str, int]:
    try:
        return msgspec.json.decode(event.data, type=types.Dropped).reasons
    except msgspec.MsgspecError:
        return {}
