"""The logger: what an agent calls.

`Logger` (flat and scoped API), the scopes it hands out, agent loggers, and the one `Recorder` that turns their calls
into events on the spool. Everything synchronous here returns without waiting for the bus, and no logging call raises.
"""

from __future__ import annotations

import msgspec


class FlushResult(msgspec.Struct, frozen=True):
    """What a `flush` achieved. Counts are of this process, since its start or fork."""

    reached: bool
    """Whether all that was accepted before the call is safe at the level asked for."""
    accepted: int
    """Events that are on the spool or beyond."""
    synced: int
    """Of these, those known to survive a power cut."""
    acked: int
    """Of these, those that the bus has acknowledged."""
    dropped: dict[str, int]
    """Events that were not accepted, by reason."""


class Stats(msgspec.Struct, frozen=True):
    """Counters of this process, since its start or fork. `calls == accepted + sum(dropped.values())`."""

    calls: int
    accepted: int
    synced: int
    acked: int
    """Not exact once somebody has deleted the spool's directory: what was saved of it is sent, and counted, again, and
    a companion begins to count anew."""
    rejected: int
    """Events that the bus refused for good; they stand in `<spool>/rejected/`."""
    dropped: dict[str, int]
    spool_bytes: int
    oldest_unshipped_seconds: float | None
    """At least so old is the oldest event that the bus has not acknowledged; None if there is none."""
    trouble: str
    """Why publishing is not getting on, in one line; empty while it is."""
    redaction_failed: int
    """Accepted events whose payload is a stand-in, because it could not be searched for secrets."""
    capture_failed: int = 0
    """Calls of decorated functions that ran unrecorded or whose record has no end; places that could not be carried."""
    inbound_rejected: dict[str, int] = {}
    """Headers given to `tailrace.extract` that were not believed, by reason."""
    overrides_failed: int = 0
    """Times that an override raised and was skipped for an event."""
