"""Reading little at a time costs: who keeps up with a bus lets records gather for a moment before reading on."""

from __future__ import annotations

from tailrace.bus import Batch

TURN_SECONDS = 0.03
"""From one read to the next. At 1,000 events a second a turn with a batch of ten costs two thirds of what it costs with
thirty, so that reading every 10 ms takes a process a sixth of a processor, and the brokers as much again."""
_MANY = 500
_MANY_BYTES = 256 << 10


def rest_after(batch: Batch, took: float) -> float:
    """Seconds to wait before the next read, `took` seconds after this batch came.

    None after a batch that is large, of which more is there already, or empty, which was waited for.
    """
    records = batch.records
    if not records or len(records) >= _MANY or sum(len(record.value) for record in records) >= _MANY_BYTES:
        return 0.0
    return max(0.0, TURN_SECONDS - took)
