"""What the publisher's thread runs: an event loop that ships, sweeps and stops in time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel

from tailrace.bus import Bus
from tailrace.bus.topics import Topics
from tailrace.errors import TailraceError
from tailrace.publish.courtesy import Courtesy
from tailrace.publish.pace import ALONE
from tailrace.publish.quiet import silence_here
from tailrace.publish.routing import Router
from tailrace.publish.shipper import Shipper
from tailrace.publish.sweep import publish_lost, sweep
from tailrace.publish.thread import Publisher
from tailrace.registry import open_bus
from tailrace.spool.tail import Tail

_SWEEP_SECONDS = 30.0
_STOP_LOOK_SECONDS = 0.005
_CLOSE_SECONDS = 0.5


def prepare(publisher: Publisher) -> Loop:
    """The loop, with everything imported that it needs; also what anyio and the codecs import at their first use.

    Raises:
        ConfigError: the bus's URL cannot be read.
    """
    import encodings.idna  # noqa: F401, PLC0415 - else the first look-up of a host name imports it

    bus = open_bus(publisher.config)
    silence_here()
    asyncio.run(_rehearse())
    return Loop(publisher, bus)


async def _rehearse() -> None:
    done = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(done.wait)
        with anyio.move_on_after(0), anyio.CancelScope(shield=True):
            await anyio.lowlevel.checkpoint()
        await anyio.sleep(0.0001)
        done.set()


class Loop:
    """Runs in the publisher's thread."""

    def __init__(self, publisher: Publisher, bus: Bus) -> None:
        self._publisher = publisher
        self._bus = bus
        self._state = publisher.state
        self._tail = Tail(publisher.spool.directory, publisher.spool)
        self._told_to_stop = anyio.Event()

    def run(self) -> None:
        """Returns when the publisher was told to stop and has shipped what it could."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        _resolve_names_here(loop)
        config = self._publisher.config
        bus = self._bus
        topics = Topics(config.prefix)
        router = Router(bus, topics, config.topics.max_topics)
        courtesy = Courtesy(self._publisher.spool)
        shipper = Shipper(
            self._tail, bus, router, on_trouble=self._on_trouble, on_progress=self._on_progress, courtesy=courtesy
        )
        self._shipper = shipper
        self._publisher.wake = self._waker(loop)
        stopping = self._publisher.stopping.is_set
        if stopping():  # told before there was anything to wake
            self._wake()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._end_in_time, group.cancel_scope)
                group.start_soon(self._sweep, bus)
                await shipper.run(is_final=stopping, is_done=stopping)
                with contextlib.suppress(TailraceError):  # left to the next sweep
                    await publish_lost(self._publisher.spool.directory, topics, router, bus)
                group.cancel_scope.cancel()
        finally:
            self._tail.flush_cursor()
            self._on_progress()
            with contextlib.suppress(OSError):  # who cannot look does not know
                self._state.done = self._tail.is_empty()
            with anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_SECONDS):
                await bus.aclose()

    def _waker(self, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._wake)

        return wake

    def _wake(self) -> None:
        self._shipper.wake()
        if self._publisher.is_awaited:
            self._tail.window = ALONE.window_bytes
        if self._publisher.stopping.is_set():
            self._told_to_stop.set()

    def _on_trouble(self, trouble: str) -> None:
        if trouble:
            self._publisher.warn(f"{trouble}; events wait on the spool {self._publisher.spool.directory.path}")

    def _on_progress(self) -> None:
        """Shows the state to other threads."""
        shipper = self._shipper
        self._state.rejected = shipper.rejected
        self._state.acked = self._tail.acked - shipper.rejected
        self._state.position = shipper.position
        self._state.trouble = shipper.trouble
        if lost := self._publisher.spool.renew():
            self._publisher.warn(lost)

    async def _end_in_time(self, scope: anyio.CancelScope) -> None:
        """Once told to stop, end the shipping at the deadline, or at once when the bus is out of reach."""
        await self._told_to_stop.wait()
        while time.monotonic() < self._publisher.deadline and not self._shipper.trouble:  # noqa: ASYNC110 - one of the two is a time
            await anyio.sleep(_STOP_LOOK_SECONDS)
        scope.cancel()

    async def _sweep(self, bus: Bus) -> None:
        told: set[str] = set()
        while True:
            report = await sweep(self._publisher.config, bus)
            for error in set(report.errors) - told:
                self._publisher.warn(f"an older spool could not be shipped: {error}")
            told.update(report.errors)
            await anyio.sleep(_SWEEP_SECONDS)


def _resolve_names_here(loop: Any) -> None:
    """Look host names up in this thread: the loop's executor refuses work once the interpreter is shutting down."""

    async def getaddrinfo(host: Any, port: Any, **hints: int) -> Any:
        return socket.getaddrinfo(host, port, **hints)

    loop.getaddrinfo = getaddrinfo
