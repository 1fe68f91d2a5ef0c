"""How much is measured, and the order that a worker process gets."""

from __future__ import annotations

import msgspec


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes of one run; every peer gets the same."""

    rounds: int = 5
    events: int = 20_000
    """In a burst, and again call by call."""
    burst_seconds: float = 3.0
    """A burst that takes longer ends here."""
    paced_seconds: float = 4.0
    rate: int = 2_000
    """Events a second where the calls are paced."""
    tasks: int = 100
    """That log beside the 1 ms ticker."""
    loop_seconds: float = 6.0
    backlog: int = 60_000
    sustained_events: int = 200_000
    outage_seconds: float = 60.0
    quick: bool = False
    """Too short to be published."""


QUICK = Plan(
    rounds=1,
    events=2_000,
    burst_seconds=0.5,
    paced_seconds=0.5,
    loop_seconds=1.0,
    sustained_events=20_000,
    outage_seconds=3.0,
    quick=True,
)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement: a peer, a mode, and where things are."""

    peer: str
    mode: str
    directory: str
    """For the peer's files. Two orders with the same directory share what the peer keeps there."""
    kafka: str
    """`host:port`; empty where there is none."""
    http: str
    """URL of the sink; empty where there is none."""
    plan: Plan
