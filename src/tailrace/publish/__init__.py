"""From the spool to the bus: the publisher thread of a logging process, and the sweep of other spools.

Both run the same `Shipper`: read frames, hand them to a lane per topic, acknowledge, delete. The modules that need an
event loop are imported by who runs one, so that a logging call never waits for an import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from tailrace.bus import Bus
    from tailrace.config import Config


class ShipReport(msgspec.Struct):
    """What a sweep did."""

    spools: int = 0
    """Spools shipped to their end."""
    records: int = 0
    damaged_bytes: int = 0
    """Bytes that held no whole record (torn by a crash, or damaged)."""
    rejected: int = 0
    """Records that the bus refused for good; put aside in `<spool>/rejected/`."""
    left: int = 0
    """Spools that could not be shipped now."""
    errors: list[str] = []


async def ship(config: Config, bus: Bus) -> ShipReport:
    """Ship every spool under `config.spool_path` that nobody else ships, to its present end.

    A spool whose producer is gone is removed when all of it is on the bus, and each run that it left open gets a
    `producer.lost` event, which shows the run as abandoned. Safe to run at any time, from several processes.
    Errors are reported, not raised; what they kept from being shipped stays on the spool.
    """
    from tailrace.publish.pace import ALONE  # noqa: PLC0415 - see above
    from tailrace.publish.sweep import sweep  # noqa: PLC0415 - see above

    return await sweep(config, bus, ALONE)  # somebody waits for it
