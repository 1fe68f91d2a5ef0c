"""Whether a running stage gets on: judged by what its loop does, not by whether it answers."""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec

from tailrace.bus import Partition
from tailrace.consumer import Progress
from tailrace_consumers.runner import Pulse

_STUCK_SECONDS = 90.0
"""Without a turn of the loop. Each request to a bus or a store has a shorter time limit of its own."""


class Status(msgspec.Struct, frozen=True):
    """A stage at one moment."""

    progress: Progress
    into_store: bool
    """Whether what it writes are documents in the store, or records on the bus."""
    turned: bool
    """Whether its loop has come round at all, and so has reached the bus."""
    active: bool
    """Whether it reads for its group, or stands by."""
    silent_seconds: float
    """Since the loop, or the event loop below it, last came round."""
    lag_seconds: float
    """Of the partition that is furthest behind, the age of the newest record read; 0 where nothing is behind."""
    commit_seconds: float
    """Since the last commit, while something is read and not committed; else 0."""

    @property
    def is_live(self) -> bool:
        """Whether it is worth leaving alone. Waiting for a bus or store that is away is: a restart would not help."""
        return self.silent_seconds < _STUCK_SECONDS

    @property
    def is_ready(self) -> bool:
        """Whether it does its work, or stands by for another member that does."""
        return self.is_live and self.turned and not self.progress.note

    def __str__(self) -> str:
        if not self.is_live:
            return f"{self.progress.stage}: stuck for {self.silent_seconds:.0f} s"
        if self.progress.note:
            return f"{self.progress.stage}: waits: {self.progress.note}"
        if not self.turned:
            return f"{self.progress.stage}: starting"
        behind = "" if self.progress.lag is None else f", {self.progress.lag:,} behind"
        return f"{self.progress.stage}: {'reading' if self.active else 'standing by'}{behind}"


def status_of(
    progress: Progress, pulse: Pulse, lags: Mapping[Partition, int], *, into_store: bool, heard_at: float
) -> Status:
    """May be called from any thread. `heard_at`: when the event loop was last at work, by the monotonic clock."""
    now, wall = time.monotonic(), time.time()
    # A loop that waits for a server need not come round.
    turned_at = heard_at if progress.note else min(heard_at, pulse.turned_at)
    read_upto = dict(pulse.read_upto)
    behind = [wall - at for partition, at in read_upto.items() if lags.get(partition)]
    since = pulse.uncommitted_since
    return Status(
        progress=msgspec.structs.replace(progress),
        into_store=into_store,
        turned=pulse.turned,
        active=pulse.active,
        silent_seconds=max(0.0, now - turned_at),
        lag_seconds=max(0.0, *behind, 0.0),
        commit_seconds=0.0 if since is None else max(0.0, wall - since),
    )
