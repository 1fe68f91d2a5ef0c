"""The companion as the logging process sees it: a thread that sees to it that there is one, and reads its notes."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable

from tailrace.config import Config
from tailrace.priority import never_preempt
from tailrace.publish.launch import Companionship, LaunchError
from tailrace.publish.thread import Publisher, PublishState
from tailrace.spool.append import Spool
from tailrace.spool.shipped import Listener, Shipped

_LOOK_SECONDS = 0.1
_HURRY_SECONDS = 0.003
"""Between two looks while somebody waits; each is longer than the one before, up to the above."""
_PATIENCE = 1.2
_CHECK_SECONDS = 0.5
"""Between two looks whether there is a companion."""
_ATTEMPTS = 3
_STARTS = 8
_JOIN_SECONDS = 1.0


class Attendant:
    """Stands where a `Publisher` would: the same calls, and the same guarantees. Ships nothing itself.

    Starts a companion process when there is none; where that cannot be done (no processes allowed, no interpreter of
    its own), a `Publisher` in this process takes over, and a line on stderr says so.
    """

    def __init__(self, config: Config, spool: Spool, warn: Callable[[str], None]) -> None:
        self.spool = spool
        self.state = PublishState()
        self._config = config
        self._warn = warn
        self._companionship = Companionship(config)
        self._instead: Publisher | None = None
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._deadline = float("inf")
        self._listener = Listener(spool.directory)
        self._pause = _LOOK_SECONDS
        self._check_at = 0.0
        self._failures = 0
        self._starts = 0
        """Companions started one after the other, none of which was there a moment later."""
        self._lowest = 1
        """Segments below it are gone."""
        self._let_go: dict[int, float] = {}
        """Closed segment -> when it was first seen that no append can reach it."""
        self._thread = threading.Thread(target=self._main, name="tailrace-publisher", daemon=True)

    def start(self) -> None:
        """Raises RuntimeError at interpreter shutdown, when no thread can start; events then stay on the spool."""
        if sys.is_finalizing():  # before Python 3.12, `start` would wait for ever for a thread that never gets the GIL
            raise RuntimeError("no thread can start at interpreter shutdown")
        self._thread.start()

    def wake(self) -> None:
        """Look often for a while: somebody waits. Any thread; does not block."""
        self._pause = _HURRY_SECONDS
        self._woken.set()
        if self._instead is not None:
            self._instead.wake()

    def stop(self, timeout: float) -> bool:
        """As `Publisher.stop`. The companion goes on with what is left, also after this process is gone."""
        self.retire(timeout)
        self._thread.join(timeout + _JOIN_SECONDS)
        return self._instead.stop(timeout) if self._instead is not None else self.state.done

    def retire(self, timeout: float) -> None:
        """As `stop`, without waiting for it."""
        self._deadline = time.monotonic() + timeout
        self._stopping.set()
        self.wake()
        if self._instead is not None:
            self._instead.retire(timeout)

    def _main(self) -> None:
        never_preempt()
        try:
            while self._instead is None:
                self._look()
                if self._stopping.is_set() and (self.state.done or self.state.trouble or self._is_late()):
                    return
                self._woken.wait(self._pause)
                self._woken.clear()
                self._pause = min(self._pause * _PATIENCE, _LOOK_SECONDS)
        except BaseException as error:  # noqa: BLE001 - a thread has nobody above it
            self.state.trouble = f"the companion is not looked after any more: {error!r}"
            self._warn(self.state.trouble)

    def _is_late(self) -> bool:
        return time.monotonic() >= self._deadline

    def _look(self) -> None:
        now, written = time.monotonic(), self.spool.written()
        if self._listener.directory is not self.spool.directory or now >= self._check_at:
            self._listener.close()  # there may be another one
            self._listener = Listener(self.spool.directory)
        if (shipped := self._listener.read()) is not None:
            self._note(shipped)
            self._take_away(shipped)
            is_seen = not self.spool.has_aside() or shipped.looked > now  # what stands aside is in no position
            self.state.done = shipped.position >= written and is_seen
        if lost := self.spool.renew():
            self._warn(lost)
        if time.monotonic() >= self._check_at and not (self._stopping.is_set() and self.state.done):
            self._check_at = time.monotonic() + _CHECK_SECONDS
            self._see_to_companion()

    def _note(self, shipped: Shipped) -> None:
        state = self.state
        if shipped.trouble and not state.trouble:
            self._warn(f"{shipped.trouble}; events wait on the spool {self.spool.directory.path}")
        state.acked, state.rejected = shipped.frames - shipped.rejected, shipped.rejected
        state.position, state.trouble = shipped.position, shipped.trouble

    def _take_away(self, shipped: Shipped) -> None:
        """Segments that no append can reach, and whose last look by the companion came after that."""
        now = time.monotonic()
        for number in range(self._lowest, self.spool.written()[0]):
            if number not in self._let_go and self.spool.is_let_go(number):
                self._let_go[number] = now
            if shipped.position[0] <= number or shipped.looked <= self._let_go.get(number, now):
                return
            if not self.spool.reuse(number):
                with contextlib.suppress(OSError):
                    self.spool.directory.segment(number).unlink()
            self._lowest = number + 1
            del self._let_go[number]

    def _see_to_companion(self) -> None:
        try:
            self._starts = self._starts + 1 if self._companionship.ensure() else 0
            self._failures = 0
            if self._starts >= _STARTS:
                self._take_over("each ends at once; was tailrace upgraded under this process?")
        except LaunchError as error:
            self._failures += 1
            if self._failures >= _ATTEMPTS or error.final:
                self._take_over(str(error))

    def _take_over(self, reason: str) -> None:
        """Ship from this process, if no companion holds the spool by now."""
        if not self.spool.ship_lock.acquire():
            return
        self._warn(f"no companion process could be started ({reason}); a thread of this process ships instead")
        self.spool.is_guest = False
        instead = Publisher(self._config, self.spool, self._warn)
        self.state = instead.state
        instead.start()
        self._instead = instead
        if self._stopping.is_set():
            instead.retire(max(0.0, self._deadline - time.monotonic()))
