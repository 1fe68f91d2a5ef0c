"""How urgently threads run that nobody waits for.

Under Linux's SCHED_BATCH a thread that wakes up does not push aside who runs; under SCHED_IDLE it also yields the
processor the moment that anybody else of its scheduling group wants it. At any niceness neither holds: a program that
wakes up waits for milliseconds where a processor is busy. But a machine that is always busy leaves an idle thread next
to nothing, and it may not rise by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine

_LOOK_SECONDS = 0.1


def never_preempt() -> None:
    """The calling thread, when it wakes up, lets who runs on its processor go on. Its share of time stays what it was.

    Else it would often push the program's own thread aside in the middle of a log call, for some 0.4 ms each time.
    """
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # of this thread


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
    try:
        while not task.done():
            _run_last(loop, is_behind, stop)
            if not task.done():
                _run_until_caught_up(loop, is_behind, stop)
        task.result()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


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
    loop: asyncio.AbstractEventLoop, is_behind: Callable[[], bool], stop: Callable[[], None]
) -> None:
    def look() -> None:
        if is_behind():
            loop.call_later(_LOOK_SECONDS, look)
        else:
            stop()

    loop.call_soon(look)
    loop.run_forever()
