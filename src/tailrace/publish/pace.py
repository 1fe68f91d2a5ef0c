"""How much a shipper does at a stretch: little beside a program's own threads, much in a process of its own."""

from __future__ import annotations

import msgspec

from tailrace.spool.tail import WINDOW


class Pace(msgspec.Struct, frozen=True):
    """Sizes in bytes of segments and records, times in seconds."""

    window_bytes: int
    """Read and taken apart at once."""
    look_bytes: int
    """Read at one look, of several windows, before any of it is handed to the bus: small batches cost."""
    batch_bytes: int
    """Handed to the bus at once, of one topic."""
    memory_bytes: int
    """Read and not acknowledged: beyond it nothing more is read."""
    look_seconds: float
    """Between two looks at a spool in which nothing new was found."""
    idle_seconds: float
    """The same once nothing came for a while: each wait is longer than the one before, up to this."""
    turn_seconds: float
    """Of sleep after reading a window and after handing it out, at least: whoever waits for the GIL gets it only if it
    is given away for as long as a thread needs to wake up. 0: nobody waits."""
    loop_turns: int
    """Of the event loop after each look: aiokafka's tasks take some five to send a batch, and as many to tell that it
    was acknowledged. With a look in each of them the broker would have nothing to do meanwhile."""


BESIDE = Pace(WINDOW, 256 << 10, 256 << 10, 4 << 20, 0.05, 0.05, 0.00002, 0)
"""In the program's process: few looks and short turns, for each turn may delay a call or an event loop."""

ALONE = Pace(256 << 10, 256 << 10, 6_600_000, 16 << 20, 0.03, 0.1, 0.0, 8)
"""In a process that does nothing else. A publish fills eight batches for Kafka, while as much is read for the next."""

GENTLE = Pace(WINDOW, 64 << 10, 64 << 10, 1 << 20, 0.05, 0.05, 0.001, 0)
"""For what dead processes left and others find, which nobody waits for: what goes out at once is little, and is
followed by as much rest for a database or a broker on this machine."""
