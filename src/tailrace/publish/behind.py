"""Runs an event loop behind all else on the machine, unless it falls behind with what it is there for.

Under Linux's SCHED_IDLE a thread yields the processor the moment that anybody else of its scheduling group wants it. At
any niceness it does not: a program that wakes up waits for milliseconds where a processor is busy. But a machine that
is always busy leaves such a thread next to nothing, and it may not rise by itself. So the loop runs in such a thread
for as long as it keeps up, and else in the thread that it was begun in.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Coroutine

_LOOK_SECONDS = 0.05
_STAY_SECONDS = (1.0, 32.0)
"""For how long a loop that fell behind keeps its priority once it has caught up: at first, and at most."""


def run_behind(serve: Coroutine[object, object, None], is_behind: Callable[[], bool]) -> None:
    """As `asyncio.run`, behind all else on the machine; while it `is_behind`, with the calling thread's priority.

    `is_behind` is asked some times a second, from that thread, whose signal handlers go on working; asyncio's own do
    not. For a process of its own: an idle thread must hold nothing that a program waits for, least of all its GIL.
    """
    if not hasattr(os, "SCHED_IDLE"):
        asyncio.run(serve)
        return
    loop = asyncio.new_event_loop()
    task = loop.create_task(serve)

    def stop() -> None:
        if not task.done():
            loop.stop()

    task.add_done_callback(lambda _: loop.stop())
    stay = _STAY_SECONDS[0]
    try:
        while not task.done():
            begin = time.monotonic()
            _run_last(loop, is_behind, stop)
            if not task.done():
                stay = _next_stay(stay, time.monotonic() - begin)
                _run_until_caught_up(loop, is_behind, stop, stay)
        task.result()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _next_stay(stay: float, kept_up: float) -> float:
    """Twice as long as the last one where it kept up for no longer than that: the machine is still busy."""
    return min(2 * stay, _STAY_SECONDS[1]) if kept_up <= stay else _STAY_SECONDS[0]


def _run_last(loop: asyncio.AbstractEventLoop, is_behind: Callable[[], bool], stop: Callable[[], None]) -> None:
    def run() -> None:
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # of this thread
        loop.run_forever()

    thread = threading.Thread(target=run, name="tailrace-shipping")
    thread.start()
    while thread.is_alive() and not is_behind():
        thread.join(_LOOK_SECONDS)
    loop.call_soon_threadsafe(stop)
    thread.join()


def _run_until_caught_up(
    loop: asyncio.AbstractEventLoop, is_behind: Callable[[], bool], stop: Callable[[], None], stay: float
) -> None:
    stay_until = time.monotonic() + stay

    def look() -> None:
        nonlocal stay_until
        now = time.monotonic()
        if is_behind():
            stay_until = now + stay
        if now < stay_until:
            loop.call_later(_LOOK_SECONDS, look)
        else:
            stop()

    loop.call_soon(look)
    loop.run_forever()
