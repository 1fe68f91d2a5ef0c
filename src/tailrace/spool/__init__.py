"""The spool: append-only, mapped segment files in which an event is safe when the log call returns.

One directory a producer, under `<home>/spool/<producer id>/`:

- `segment-00000001.frames`, ...: frames (`tailrace.spool.frame`), appended by the producer, read by who ships;
- `aside`: a small segment for calls that come while their own thread changes segments; `spare`: the next segment;
  `fresh`: one in the making for a call that does not wait for the spare; `kept-1`, ...: acknowledged ones, zeroed, to
  be used again;
- `runs`: which runs the producer opened and ended, so that a dead producer's open runs can be named;
- `cursor`: up to where everything has been acknowledged by the bus; a hint, repeated shipping is harmless;
- `shipped`: the same, and more, as a companion process tells it to the live producer (`tailrace.spool.shipped`);
- `owner.lock`: held (flock) by the producer for its life; free means that the process is gone, however it died;
- `ship.lock`: held by the one who ships: the producer's own publisher, a companion process, or a sweeper;
- `about.json`: who made it; `closed`: it ended in order.

The producer writes segments, runs and about; who holds `ship.lock` writes the cursor and deletes acknowledged
segments (but a live producer that a companion ships takes them away itself); a directory is removed by who ships, when
all of it is acknowledged and its owner is gone.
"""

from __future__ import annotations

import msgspec

from tailrace.spool.frame import VERSION


class About(msgspec.Struct, frozen=True):
    """Contents of `about.json`."""

    producer: str
    process: int
    """Process id at the operating system, on the machine that made it."""
    host: str
    publish: str
    started: str
    version: int = VERSION
    """Of the frames. Known before there are any: who cannot read them must not begin to."""
    companion: str = ""
    """Which companion processes ship it: those with this name (`tailrace.publish.companion`); empty: none."""


class SpoolInfo(msgspec.Struct, frozen=True):
    """What can be seen of one producer's spool from outside; see `tailrace.spool.directory.inspect`."""

    path: str
    producer: str
    process: int
    alive: bool
    publish: str
    segments: int
    bytes: int
    """Bytes not yet known to be acknowledged."""
    records: int
    """Events in them. Counted in the first 32 MiB; of what is behind those, reckoned from their size."""
    oldest_seconds: float | None
    """At least this long ago the oldest of them was written; None if there are none."""
