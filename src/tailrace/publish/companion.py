"""The companion: one process beside all logging processes of one machine, `home` and bus, that ships their spools.

It has an interpreter of its own, so that shipping takes nothing from the programs that log, and it outlives them: what
a killed process left is on its way at once. Started by the first process that needs it (`publish/launch.py`), it ends
a few seconds after the last; another is started when it is missed.
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
import signal
import sys
import time
from collections.abc import Callable

import anyio
import msgspec
from anyio.abc import TaskGroup

from tailrace.bus import Bus
from tailrace.bus.topics import Topics
from tailrace.config import Config
from tailrace.errors import TailraceError
from tailrace.publish.behind import run_behind
from tailrace.publish.launch import Order, lock_of
from tailrace.publish.pace import ALONE, GENTLE
from tailrace.publish.routing import Router
from tailrace.publish.shipper import Shipper
from tailrace.publish.sweep import publish_lost, sweep
from tailrace.registry import open_bus
from tailrace.spool import files
from tailrace.spool.cursor import read_cursor, write_cursor
from tailrace.spool.directory import SpoolDirectory, all_in
from tailrace.spool.lock import Lock
from tailrace.spool.shipped import Notice, Shipped, read
from tailrace.spool.tail import Tail

_ATTEMPTS = 5
_ATTEMPT_SECONDS = 0.02
_NICENESS = 5
"""While it is behind (`publish/behind.py`): a third of the weight of a process that logs; less could let a spool fill
up on a machine that is always busy."""
_BEHIND_SECONDS = 0.2
_SCAN_SECONDS = 0.1
_OWNER_SECONDS = 0.05
_NOTE_SECONDS = 0.2
"""At least so often a live producer is told that its spool is looked at."""
_SWEEP_SECONDS = 30.0
_LINGER_SECONDS = 5.0
"""For the next process of a script that starts many."""
_STOPPED_SECONDS = 3.0
"""Once it is told to end, for what the last live producer left."""
_FORSAKEN_SECONDS = 15.0
"""Without a live producer, for a bus that is away. What is then left waits for the next process or `tailrace ship`,
which may know better where the bus is."""


def main(told: bytes) -> None:
    """Do as the order says that was `told`. Says on stderr why it cannot begin; else goes on by itself."""
    order = msgspec.json.decode(told, type=Order)
    lock = lock_of(order.config.spool_path, order.name)
    try:
        companion = Companion(order.config, order.name, open_bus(order.config))
    except TailraceError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    if not _has_taken(lock):
        return  # another one was quicker
    lock.outlive()
    _name_itself(lock, b"")  # until it is known: not the one before
    if os.fork():
        os._exit(0)  # who waits for this process is told that its child has begun
    os.setpgid(0, 0)  # away from the terminal's Ctrl-C; in another session, its priority would be the session's
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: companion.stop())
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(nothing, fd)
    os.close(nothing)
    _name_itself(lock, f"{os.getpid()}\n".encode())
    os.nice(_NICENESS)
    gc.freeze()
    run_behind(companion.serve(), companion.is_behind)


def _has_taken(lock: Lock) -> bool:
    """Those who only look whether it is free hold it for a moment, too."""
    for _ in range(_ATTEMPTS):
        if lock.acquire():
            return True
        time.sleep(_ATTEMPT_SECONDS)
    return False


def _name_itself(lock: Lock, text: bytes) -> None:
    with contextlib.suppress(OSError):  # for people only
        files.write(lock.path, text)


class Companion:
    """Ships the spools whose `about.json` names it, and sweeps the others as every publisher does."""

    def __init__(self, config: Config, name: str, bus: Bus) -> None:
        self._config = config
        self._name = name
        self._bus = bus
        self._topics = Topics(config.prefix)
        self._router = Router(bus, self._topics, config.topics.max_topics)
        self._served: dict[str, _Served] = {}
        self._alive_at = time.monotonic()
        """When a spool of a live producer was last seen."""
        self._busy_at = time.monotonic()
        """When any was."""
        self._told_to_stop = False
        self._sweeping_at = math.inf
        """When the sweep that is under way began."""
        self._scan_at = time.monotonic()
        """When spools are looked for next: long ago where the loop does not get to run, or has not begun yet."""

    async def serve(self) -> None:
        """Returns when nobody needs it any more."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._sweep)
                self._busy_at = self._alive_at = time.monotonic()  # it may have waited long for its first turn
                while True:
                    self._take_up(group)
                    if self._is_done():
                        break
                    self._scan_at = time.monotonic() + _SCAN_SECONDS
                    await anyio.sleep(_SCAN_SECONDS)
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1.0):
                await self._bus.aclose()

    def stop(self) -> None:
        """End after the last live producer: they are told to end, too, and may have last words. Any thread."""
        self._told_to_stop = True

    def is_behind(self) -> bool:
        """Whether for some time a spool held more than was read of it, or nobody came to look. Any thread."""
        caught_up = [served.caught_up_at() for served in list(self._served.values())]
        oldest = min([self._scan_at, self._sweeping_at, *caught_up])
        return time.monotonic() - oldest >= _BEHIND_SECONDS

    def _is_done(self) -> bool:
        now = time.monotonic()
        if self._served:
            self._busy_at = now
        if any(served.is_live for served in self._served.values()):
            self._alive_at = now
            return False
        if self._told_to_stop:
            return not self._served or now - self._alive_at >= _STOPPED_SECONDS
        return now - self._busy_at >= _LINGER_SECONDS or now - self._alive_at >= _FORSAKEN_SECONDS

    def _take_up(self, group: TaskGroup) -> None:
        """Spools that are new, or that somebody else shipped until now."""
        with contextlib.suppress(OSError):  # looked at again in a moment
            for directory in all_in(self._config.spool_path):
                if directory.producer not in self._served and self._is_mine(directory):
                    lock = Lock(directory.ship_lock)
                    if lock.acquire():
                        served = self._served[directory.producer] = _Served(directory, lock)
                        group.start_soon(self._serve, served)

    def _is_mine(self, directory: SpoolDirectory) -> bool:
        about = directory.about()
        return about is not None and about.companion == self._name and not directory.is_newer()

    async def _serve(self, served: _Served) -> None:
        """Whatever is wrong with one spool must not hold up the others."""
        directory = served.directory
        try:
            with contextlib.suppress(OSError, TailraceError):
                if await served.ship(self._bus, self._router):
                    await publish_lost(directory, self._topics, self._router, self._bus)
                    directory.remove()
        finally:
            served.lock.release()
            await anyio.sleep(_SCAN_SECONDS)
            del self._served[directory.producer]

    async def _sweep(self) -> None:
        while True:
            self._sweeping_at = time.monotonic()
            await sweep(self._config, self._bus, GENTLE)
            self._sweeping_at = math.inf
            await anyio.sleep(_SWEEP_SECONDS)


class _Served:
    """One spool, from when it is taken up to its producer's end."""

    def __init__(self, directory: SpoolDirectory, lock: Lock) -> None:
        self.directory = directory
        self.lock = lock
        self.is_live = True
        self._is_replaced = False
        """Whether the directory was deleted, and perhaps another made that has its name and a live producer."""
        self._before = self._told = Shipped()
        """What an earlier companion told last, and what this one did."""
        self._asked_at = self._told_at = 0.0
        self.caught_up_at: Callable[[], float] = lambda: math.inf
        """As the shipper's, once there is one."""

    async def ship(self, bus: Bus, router: Router) -> bool:
        """Returns when all is acknowledged and the producer is gone: True; or its directory is: False."""
        if (told := read(self.directory)) is not None:
            self._before = self._told = told
            write_cursor(self.directory, *max(told.position, read_cursor(self.directory)))
        self._notice = Notice(self.directory)
        try:
            self._tail = Tail(self.directory, guest=True, window=ALONE.window_bytes)
            shipper = self._shipper = Shipper(
                self._tail, bus, router, on_trouble=self._note, on_progress=self._on_progress, pace=ALONE
            )
            self.caught_up_at = lambda: shipper.caught_up_at
            await shipper.run(is_final=self._is_orphan, is_done=self._is_over)
        finally:
            self._notice.close()
        return not self._is_replaced

    def _is_orphan(self) -> bool:
        return self._is_over() and not self._is_replaced

    def _is_over(self) -> bool:
        """Asked at each turn of the shipper; the files are asked some times a second."""
        now = time.monotonic()
        if self.is_live and now >= self._asked_at + _OWNER_SECONDS:
            self._asked_at = now
            is_there = self.directory.is_there()
            self.is_live = is_there and self.directory.owner_is_alive()
            # Asked last: of a directory that was replaced meanwhile, the above says nothing.
            if not (is_there and self.lock.is_named()):
                self.is_live, self._is_replaced = False, True
                self._tail.let_go()
        return not self.is_live

    def _on_progress(self) -> None:
        position = self._shipper.position
        if position != self._told.position or time.monotonic() >= self._told_at + _NOTE_SECONDS:
            self._note(self._shipper.trouble)

    def _note(self, trouble: str) -> None:
        before, shipper = self._before, self._shipper
        self._told_at = time.monotonic()
        self._told = Shipped(
            position=shipper.position,
            frames=before.frames + self._tail.settled,
            rejected=before.rejected + shipper.rejected,
            trouble=trouble,
            looked=shipper.looked,
        )
        with contextlib.suppress(OSError):  # the directory may be gone; else told again in a moment
            self._notice.write(self._told)
