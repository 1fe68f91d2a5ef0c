"""When shipping stays out of the program's way."""

from __future__ import annotations

import time

from tailrace.spool.append import Spool

_BURST_BYTES = 10 << 20
"""A second, appended: beyond it a program does little else than log."""
_BEHIND_BYTES = 32 << 20
_LITTLE_BYTES = 8 << 20


class Courtesy:
    """Tells whether the program logs in a burst: then shipping waits, for each turn of it costs some call a delay.

    It waits until the burst ends or 32 MiB are behind, on the spool, where they are safe. Whoever flushes is not kept
    waiting.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._appended = spool.appended()
        self._looked = time.monotonic()
        self._wanted = 0

    def hurry(self) -> None:
        """Somebody waits for what has been appended by now."""
        self._wanted = self._spool.appended()

    def may_rest(self, shipped: tuple[int, int]) -> bool:
        """Whether shipping may take its time: nobody waits for it, and little is behind."""
        done = self._spool.appended(shipped)
        return done >= self._wanted and self._spool.appended() - done < _LITTLE_BYTES

    def is_due(self, shipped: tuple[int, int]) -> bool:
        """Whether to wait now. `shipped`: up to where the bus has everything."""
        now = time.monotonic()
        appended = self._spool.appended()
        is_burst = appended - self._appended > _BURST_BYTES * (now - self._looked)
        self._appended, self._looked = appended, now
        done = self._spool.appended(shipped)
        return is_burst and done >= self._wanted and appended - done < _BEHIND_BYTES
