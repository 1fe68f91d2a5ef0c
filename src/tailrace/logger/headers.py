"""A place in a run as the headers of W3C Trace Context and Baggage, and back. Pure: text in, text out.

`traceparent` names the run as its trace and the innermost node as its span. `tracestate` holds all ids, under the key
`tailrace`, so that they survive another tracing system on the way, which writes a `traceparent` of its own. The names
of workflow and agent, which may be any text, stand percent-encoded in `baggage`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from tailrace.event.ids import run_started_at

NAMES = ("traceparent", "tracestate", "baggage")
WORKFLOW, AGENT = "tailrace.workflow", "tailrace.agent"

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE = re.compile(r"([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{16})-([0-9a-f]{16})")
_PARENT_CHARS = 55
"""Of a traceparent: the four fields that every version has."""
_NO_NODE = "0" * 16
_OURS = "tailrace="
_MAX_STATES = 32
"""Members of a tracestate (W3C Trace Context, 3.3.1.1)."""
_MAX_MEMBERS = 180
"""Of a baggage (W3C Baggage, 3.3.2)."""
_MAX_NAME = 1_000
_FUTURE = 86_400.0
"""Seconds that a run may begin ahead of the clock here."""


class RejectedError(Exception):
    """Headers that are not believed; `reason` is what they are counted by. Never leaves the logger."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


class Place(msgspec.Struct, frozen=True):
    """What the headers say. `run` is empty where a trace of another system was told, and no run."""

    traceparent: str
    run: str = ""
    iteration: str = ""
    interaction: str = ""
    action: str = ""
    workflow: str = ""
    agent: str = ""
    baggage: dict[str, str] = {}
    """Fields of others that the settings let in."""


def fields_of(carrier: Any) -> dict[str, list[str]]:
    """The three headers in a mapping of any kind, or in a list of pairs; names in any case, values text or bytes.

    None is a carrier without headers: so Kafka clients give a record that has none.

    Raises:
        RejectedError: a value is neither, or is not ASCII.
    """
    if carrier is None:
        return {}
    pairs: Iterable[Any] = carrier.items() if hasattr(carrier, "items") else carrier
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        key = (name.decode("latin-1") if isinstance(name, bytes) else str(name)).lower()
        if key in NAMES:
            found.setdefault(key, []).extend(map(_text, value if isinstance(value, list | tuple) else [value]))
    return found


def _text(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        value = bytes(value).decode("latin-1")
    if not isinstance(value, str) or not value.isascii() or not value.replace("\t", " ").isprintable():
        raise RejectedError("malformed", "a header is not printable ASCII")
    return value


def read(fields: Mapping[str, list[str]], *, max_bytes: int, allowed: Collection[str] = (), now: float) -> Place | None:
    """The place that the headers name; None where there is no traceparent.

    Raises:
        RejectedError: they are not to be believed.
    """
    if sum(len(value) for values in fields.values() for value in values) > max_bytes:
        raise RejectedError("oversize", f"the headers are longer than {max_bytes} bytes")
    parents = fields.get("traceparent", [])
    if not parents:
        return None
    if len(parents) > 1:
        raise RejectedError("traceparent", "there is more than one")
    parent = parents[0].strip()
    trace = _trace_of(parent)
    known = _baggage(",".join(fields.get("baggage", [])), allowed)
    workflow, agent = known.pop(WORKFLOW, ""), known.pop(AGENT, "")
    ids = _state(",".join(fields.get("tracestate", [])))
    if ids is None:
        # A tracestate may be lost on the way; the run is still told by the trace if the baggage is tailrace's.
        ids = (trace if workflow and run_started_at(trace) else "", "", "", "")
    if ids[0]:
        _check_run(ids[0], now)
    return Place(parent[:_PARENT_CHARS], *ids, workflow, agent, known)


def _trace_of(parent: str) -> str:
    match = _PARENT.fullmatch(parent)
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5]):
        raise RejectedError("traceparent", "it is not of the form that W3C Trace Context gives")
    if not match[2].strip("0") or not match[3].strip("0"):
        raise RejectedError("traceparent", "an id is zero")
    return match[2]


def _state(text: str) -> tuple[str, str, str, str] | None:
    members = [member.strip() for member in text.split(",")]
    ours = [member for member in members if member.startswith(_OURS)]
    if not ours:
        return None
    match = _STATE.fullmatch(ours[0].removeprefix(_OURS))
    if match is None or len(ours) > 1:
        raise RejectedError("tracestate", "the member `tailrace` is not one that tailrace writes")
    run, *nodes = match.groups()
    iteration, interaction, action = ("" if node == _NO_NODE else node for node in nodes)
    return run, iteration, interaction, action


def _check_run(run: str, now: float) -> None:
    started = run_started_at(run)
    if started is None or started.timestamp() > now + _FUTURE:
        raise RejectedError("run", "the id is none that tailrace makes")


def _baggage(text: str, allowed: Collection[str]) -> dict[str, str]:
    """The members that are tailrace's own or allowed, decoded."""
    found: dict[str, str] = {}
    members = text.split(",")
    if len(members) > _MAX_MEMBERS:
        raise RejectedError("baggage", f"it has more than {_MAX_MEMBERS} members")
    for member in members:
        key, _, rest = member.partition("=")
        key = key.strip()
        if key not in {WORKFLOW, AGENT} and key not in allowed:
            continue
        value = _decoded(rest.partition(";")[0].strip())
        if key in found or not value.isprintable() or len(value) > _MAX_NAME:
            raise RejectedError("baggage", f"{key} is given twice, is too long, or holds what cannot be printed")
        found[key] = value
    return found


def _decoded(value: str) -> str:
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError as error:
        raise RejectedError("baggage", "a value is not UTF-8") from error


def written(place: Place, present: Mapping[str, list[str]]) -> dict[str, str]:
    """The headers that name the place, beside what the carrier holds already.

    A `traceparent` that is there stays if another tracing system wrote it: the trace is its own, and the run is told in
    `tracestate`. One that tailrace wrote before is replaced.
    """
    states = [member.strip() for member in ",".join(present.get("tracestate", [])).split(",") if member.strip()]
    ours = [member for member in states if member.startswith(_OURS)]
    others = [member for member in states if not member.startswith(_OURS)]
    nodes = (place.iteration, place.interaction, place.action)
    state = "-".join((f"{_OURS}{place.run}", *(node or _NO_NODE for node in nodes)))
    parent = ",".join(present.get("traceparent", []))
    foreign = _is_foreign(parent, ours[0] if ours else "")
    kept = others[: _MAX_STATES - 1] if foreign else []
    known = {WORKFLOW: place.workflow, AGENT: place.agent, **place.baggage}
    members = [f"{quote(name, safe='!#$&*+.^_`|~-')}={quote(value, safe='')}" for name, value in known.items() if value]
    told = [member.strip() for member in ",".join(present.get("baggage", [])).split(",") if member.strip()]
    members += [member for member in told if member.partition("=")[0].strip() not in known]
    return {
        "traceparent": parent if foreign else place.traceparent,
        "tracestate": ",".join([state, *kept]),
        "baggage": ",".join(members),
    }


def _is_foreign(parent: str, ours: str) -> bool:
    try:
        trace = _trace_of(parent)
    except RejectedError:
        return False
    span = parent.split("-")[2]
    before = _STATE.fullmatch(ours.removeprefix(_OURS))
    if before is None:
        return True
    written_as = next((node for node in (before[4], before[3], before[2]) if node != _NO_NODE), before[1][16:])
    return (trace, span) != (before[1], written_as)
