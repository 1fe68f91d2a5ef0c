"""The publisher as the logging process sees it: a thread to start, to look at and to stop."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable

import msgspec

from tailrace.config import Config
from tailrace.forking import unforked
from tailrace.priority import never_preempt
from tailrace.spool.append import Spool

_JOIN_SECONDS = 1.0
"""Beyond the time given to `stop`: for closing connections."""

_RETRY_SECONDS = (0.1, 5.0)
"""Between two attempts to start: the first, and the longest."""

_DESCRIPTORS = 8
"""Two event loops, one after the other, take three each; a bus takes some."""


class PublishState(msgspec.Struct):
    """Written by the publisher's thread, read by any other."""

    acked: int = 0
    """Frames that the bus has acknowledged."""
    rejected: int = 0
    """Frames that the bus refused for good; they stand in `<spool>/rejected/`."""
    position: tuple[int, int] = (0, 0)
    """(segment, offset) below which everything is acknowledged or put aside."""
    trouble: str = ""
    """Why it is not getting on, in one line; empty while it is."""
    done: bool = False
    """Everything was acknowledged when the thread ended."""


class Publisher:
    """Ships one spool until stopped, and sweeps the spools of dead processes every half minute.

    All methods may be called from any thread; only `stop` blocks.
    """

    def __init__(self, config: Config, spool: Spool, warn: Callable[[str], None]) -> None:
        self.config = config
        self.spool = spool
        self.warn = warn
        self.state = PublishState()
        self.stopping = threading.Event()
        self.deadline = float("inf")
        """On `time.monotonic()`, once `stopping` is set."""
        self.is_awaited = False
        """Whether a thread waits in `stop`: then it counts how soon all is shipped, and no more how gently."""
        self.wake: Callable[[], None] = lambda: None
        """Ships what is there without waiting for more, or ends if `stopping` is set. Any thread; does not block."""
        self._thread = threading.Thread(target=self._main, name="tailrace-publisher", daemon=True)

    def start(self) -> None:
        """Raises RuntimeError at interpreter shutdown, when no thread can start; events then stay on the spool."""
        if sys.is_finalizing():  # before Python 3.12, `start` would wait for ever for a thread that never gets the GIL
            raise RuntimeError("no thread can start at interpreter shutdown")
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Ship what is there for at most `timeout` seconds, then end. True if all of it was acknowledged.

        A bus that is out of reach is not waited for: the spool keeps what is left.
        """
        self.is_awaited = True
        self.retire(timeout)
        self._thread.join(timeout + _JOIN_SECONDS)
        return self.state.done

    def retire(self, timeout: float) -> None:
        """As `stop`, without waiting for it."""
        self.deadline = time.monotonic() + timeout
        self.stopping.set()
        self.wake()

    def _main(self) -> None:
        never_preempt()
        delay = _RETRY_SECONDS[0]
        try:
            while not self._has_run():
                self.stopping.wait(delay)
                if self.stopping.is_set():
                    return
                delay = min(2 * delay, _RETRY_SECONDS[1])
        except BaseException as error:  # noqa: BLE001 - a thread has nobody above it
            self.state.trouble = f"the publisher ended: {error!r}"
            self.warn(self.state.trouble)

    def _has_run(self) -> bool:
        """Run the loop to its end; False if there were no descriptors or no memory for making one."""
        try:
            _ask_for_descriptors()
            with unforked:
                # Here, in the thread: it takes tens of milliseconds that no logging call should wait for.
                from tailrace.publish.loop import prepare  # noqa: PLC0415

                loop = prepare(self)
            loop.run()
        except (OSError, MemoryError, ImportError) as error:  # ImportError: a library's file could not be opened
            if not self.state.trouble:
                path = self.spool.directory.path
                self.warn(f"the publisher cannot start yet: {error!r}; events wait on the spool {path}")
            self.state.trouble = f"the publisher cannot start yet: {error!r}"
            return False
        return True


def _ask_for_descriptors() -> None:
    """Raises OSError if there are too few: an event loop that runs out in its making writes a traceback to stderr."""
    held: list[int] = []
    try:
        while len(held) < _DESCRIPTORS:
            held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    finally:
        for fd in held:
            os.close(fd)
