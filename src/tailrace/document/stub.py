"""A dropped run's document: what the sampler counted of it, in place of what its events would say.

Only while none of the run's own events is there: with the first of them (the run was brought back) the document says
what they say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tailrace.document.parsed import Parsed
from tailrace.event import types

_NOT_OF_RUN = frozenset({"rate", "reason"})
_decoder = msgspec.json.Decoder(types.RunDropped)


def is_stub(events: Sequence[Parsed]) -> bool:
    return bool(events) and all(event.type == types.RUN_DROPPED for event in events)


def write_stub(element: dict[str, Any], drops: Sequence[Parsed]) -> None:
    """Write into the view what the fullest of these `run.dropped` says; one that cannot be read says nothing."""
    read = [stub for event in drops if (stub := _read(event))]
    sampling = element["sampling"] = {**element["sampling"], "weight": 0.0, "stub": True}
    if not read:
        return
    stub = max(read, key=lambda stub: (stub.counts.get("events", 0), msgspec.json.encode(stub)))
    facts = {name: value for name, value in msgspec.structs.asdict(stub).items() if name not in _NOT_OF_RUN}
    facts["counts"] = {**dict.fromkeys(element["counts"], 0), **stub.counts}
    element.update(facts)
    sampling.update(rate=stub.rate, reason=stub.reason)


def _read(event: Parsed) -> types.RunDropped | None:
    try:
        return _decoder.decode(msgspec.json.encode(event.data))
    except (msgspec.MsgspecError, RecursionError):
        return None
