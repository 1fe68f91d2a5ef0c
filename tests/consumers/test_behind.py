"""One write under way at a time, in order; what one raises is raised to who begins the next or waits for the end."""

import anyio
import pytest

from tailrace_consumers.behind import WriteBehind

pytestmark = pytest.mark.anyio


async def test_writes_go_one_after_the_other():
    written, under_way = [], 0

    def writing(number):
        async def write():
            nonlocal under_way
            under_way += 1
            assert under_way == 1
            await anyio.lowlevel.checkpoint()
            written.append(number)
            under_way -= 1

        return write

    async with anyio.create_task_group() as group:
        behind = WriteBehind(group)
        for number in range(5):
            await behind.begin(writing(number))
        await behind.done()
        assert written == list(range(5))


async def test_a_write_is_under_way_when_begin_returns_and_done_waits_for_it():
    begun, go_on = anyio.Event(), anyio.Event()

    async def write():
        begun.set()
        await go_on.wait()

    async with anyio.create_task_group() as group:
        behind = WriteBehind(group)
        await behind.begin(write)
        assert begun.is_set()
        with anyio.move_on_after(0.01) as waited:
            await behind.done()
        assert waited.cancelled_caught
        go_on.set()
        with anyio.fail_after(10):
            await behind.done()


@pytest.mark.parametrize("asks", ["begin", "done"])
async def test_what_a_write_raises_is_raised_once_to_who_asks_next(asks):
    async def fail():
        raise ValueError("no room")

    async def nothing():
        pass

    async with anyio.create_task_group() as group:
        behind = WriteBehind(group)
        await behind.begin(fail)
        with pytest.raises(ValueError, match="no room"):
            await (behind.begin(nothing) if asks == "begin" else behind.done())
        await behind.begin(nothing)
        await behind.done()
