"""Looks after a spool whose shipping is left to others: a thread without an event loop or a client."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from tailrace.spool.append import Spool

_LOOK_SECONDS = 0.05
_SYNC_SECONDS = 1.0


class Keeper:
    """Readies segments ahead of the log calls, and bounds what a power cut can take to about a second.

    It does not know what has been shipped, so it syncs what was appended in the second before.
    """

    def __init__(self, spool: Spool, warn: Callable[[str], None] = lambda _: None) -> None:
        self._spool = spool
        self._warn = warn
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="tailrace-keeper", daemon=True)

    def start(self) -> None:
        """Raises RuntimeError at interpreter shutdown; the spool then goes without."""
        self._thread.start()

    def stop(self) -> None:
        """Returns when the thread has ended. Any thread."""
        self._stopping.set()
        self._thread.join()

    def _keep(self) -> None:
        synced = (0, 0)
        sync_at = time.monotonic() + _SYNC_SECONDS
        while not self._stopping.is_set():
            self._spool.prepare()
            if trouble := self._spool.renew():
                self._warn(trouble)
            if self._spool.turned.wait(_LOOK_SECONDS):
                self._spool.turned.clear()
            if time.monotonic() >= sync_at:
                written = self._spool.written()
                if written != synced:
                    with contextlib.suppress(OSError):
                        self._spool.sync()
                    synced = written
                sync_at = time.monotonic() + _SYNC_SECONDS
