"""Who yields the processor to whom, as the kernel says it."""

import asyncio
import os
import threading

import pytest

from tailrace.publish import behind as behind_all_else
from tailrace.publish.behind import run_behind

pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="only Linux has such policies")


def policy():
    """Of the calling thread."""
    return os.sched_getscheduler(0)


def test_a_loop_that_keeps_up_runs_behind_all_else():
    found = []

    async def serve():
        found.append(policy())

    run_behind(serve(), lambda: False)
    assert found == [os.SCHED_IDLE]


@pytest.mark.parametrize(
    ("stay", "kept_up", "following"),
    [(1.0, 0.2, 2.0), (8.0, 8.0, 16.0), (32.0, 1.0, 32.0), (2.0, 2.1, 1.0), (32.0, 3600.0, 1.0)],
)
def test_a_loop_that_falls_behind_again_soon_keeps_its_priority_for_twice_as_long(stay, kept_up, following):
    assert behind_all_else._next_stay(stay, kept_up) == following


def test_a_loop_keeps_its_priority_for_a_while_after_it_has_caught_up(monkeypatch):
    monkeypatch.setattr(behind_all_else, "_STAY_SECONDS", (3600.0, 3600.0))
    behind = True

    async def serve():
        nonlocal behind
        async with asyncio.timeout(30):
            while threading.current_thread() is not threading.main_thread():
                await asyncio.sleep(0.01)
        behind = False
        for _ in range(5):
            await asyncio.sleep(behind_all_else._LOOK_SECONDS)
        assert threading.current_thread() is threading.main_thread()

    run_behind(serve(), lambda: behind)


def test_a_loop_moves_to_the_callers_thread_while_it_is_behind_and_back_again(monkeypatch):
    monkeypatch.setattr(behind_all_else, "_STAY_SECONDS", (0.0, 0.0))
    found, behind = [], False

    async def serve():
        nonlocal behind
        caller = threading.main_thread()
        for wanted in (False, True, False):
            behind = wanted
            async with asyncio.timeout(30):
                while (threading.current_thread() is caller) is not wanted:
                    await asyncio.sleep(0.01)
            found.append(policy())

    run_behind(serve(), lambda: behind)
    assert found == [os.SCHED_IDLE, policy(), os.SCHED_IDLE]


@pytest.mark.parametrize("behind", [False, True])
def test_what_the_coroutine_raises_comes_out(behind):
    async def serve():
        await asyncio.sleep(0)
        raise LookupError("of the coroutine")

    with pytest.raises(LookupError, match="of the coroutine"):
        run_behind(serve(), lambda: behind)


@pytest.mark.parametrize("behind", [False, True])
def test_what_was_left_open_is_closed_at_the_end(behind):
    closed = []

    async def numbers():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    kept = numbers()

    async def serve():
        await anext(kept)

    run_behind(serve(), lambda: behind)
    assert closed == [True]
