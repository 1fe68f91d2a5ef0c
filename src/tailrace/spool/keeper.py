"""Looks after a spool beside who appends and who ships: a thread without an event loop or a client."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable

from tailrace.priority import never_preempt
from tailrace.spool.append import Spool

_LOOK_SECONDS = 0.1
_SYNC_SECONDS = 1.0


class Keeper:
    """Readies segments ahead of the log calls, and bounds what a power cut can take to about a second.

    `shipped` tells the place up to which the bus has everything, which needs no sync; without it (others ship the
    spool) all is synced that was appended a second ago, and a spool that was deleted is made anew here.
    """

    def __init__(
        self, spool: Spool, warn: Callable[[str], None], shipped: Callable[[], tuple[int, int]] | None = None
    ) -> None:
        self._spool = spool
        self._warn = warn
        self._shipped = shipped
        self._appended = self._synced = spool.written()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="tailrace-keeper", daemon=True)

    def start(self) -> None:
        """Raises RuntimeError at interpreter shutdown; the spool then goes without."""
        if sys.is_finalizing():  # before Python 3.12, `start` would wait for ever for a thread that never gets the GIL
            raise RuntimeError("no thread can start at interpreter shutdown")
        self._thread.start()

    def stop(self) -> None:
        """Returns when the thread has ended. Any thread."""
        self._stopping.set()
        self._thread.join()

    def _keep(self) -> None:
        never_preempt()
        sync_at = time.monotonic() + _SYNC_SECONDS
        while not self._stopping.is_set():
            self._spool.prepare()
            if self._shipped is None and (trouble := self._spool.renew()):
                self._warn(trouble)
            if self._spool.turned.wait(_LOOK_SECONDS):
                self._spool.turned.clear()
            if time.monotonic() >= sync_at:
                self._sync()
                sync_at = time.monotonic() + _SYNC_SECONDS

    def _sync(self) -> None:
        """What was appended before the last time, and is nowhere else yet."""
        if self._appended != self._synced and (self._shipped is None or self._shipped() < self._appended):
            written = self._spool.written()
            with contextlib.suppress(OSError):
                self._spool.sync()
                self._synced = written
        self._appended = self._spool.written()
