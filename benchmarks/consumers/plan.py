"""How much is measured, and the order that a worker process gets."""

from __future__ import annotations

import msgspec


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes of one run; everyone gets the same."""

    rounds: int = 3
    runs: int = 4_000
    """Of 50 events each."""
    open_at_once: int = 1_000
    documents: int = 4_000
    """Of about 15 kB, for the index stage."""
    small_runs: int = 100_000
    """Of 20 events of about 300 B each; once all are open at once, once `open_at_once`."""
    long_run: int = 1_000_000
    """Events of one run."""
    latency_seconds: int = 45
    """For which an agent logs 1,000 events a second, each of which is waited for."""
    warm_seconds: int = 90
    """For which it does the same before, while the search server has most of its code compiled."""
    quick: bool = False
    """Too short to be published."""


QUICK = Plan(
    rounds=1,
    runs=400,
    open_at_once=100,
    documents=200,
    small_runs=2_000,
    long_run=20_000,
    latency_seconds=8,
    warm_seconds=10,
    quick=True,
)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement: who does what, and where things are."""

    mode: str
    peer: str
    kafka: str
    """`host:port`."""
    opensearch: str
    """`host:port`; empty where there is none."""
    directory: str
    """For files of this measurement."""
    prefix: str
    """Of the topics that hold what is read."""
    group: str
    """A consumer group that nobody has used yet."""
    reads: str
    writes: str
    """Topics of the job, for those who do not know tailrace's names."""
    events: int
    """On the topics that are read."""
    warm_seconds: int = 0
    """Of logging before what is measured; see `Plan`."""
    runs: int


FIGURES = "figures.json"
"""File in the order's directory that holds the result."""
