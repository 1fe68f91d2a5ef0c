"""Decorated generators: their body has its own place, their consumer keeps its context, however they end."""

import asyncio
import contextvars
import gc
import threading

import pytest

import tailrace
from tailrace.logger.context import current
from tests.logger.conftest import documents


def actions():
    return documents()[0]["actions"]


def test_items_are_recorded_as_a_list_or_as_one_text_and_counted(log):
    @tailrace.action
    def numbers():
        yield 1
        yield 2

    @tailrace.action
    def words():
        yield "a"
        yield "b"
        return "c"

    with log.run():
        assert list(numbers()) == [1, 2]
        stream = words()
        assert [next(stream), next(stream)] == ["a", "b"]
        with pytest.raises(StopIteration) as stop:
            next(stream)
        assert stop.value.value == "c"
    first, second = actions()
    assert (first["output_data"], first["outcome"]) == ([1, 2], {"items": 2})
    assert (second["output_data"], second["outcome"]) == ("ab", {"items": 2, "returned": "c"})


def test_between_two_steps_the_context_is_the_consumers(log):
    @tailrace.agent("streamer")
    def stream():
        log.log_action("inside 1")
        yield
        log.start_interaction("flat", input_data=1)
        yield
        log.end_interaction()
        log.log_action("inside 2")

    with log.run() as run:
        steps = stream()
        next(steps)
        log.log_action("outside")
        with run.interaction("consumer"):
            next(steps)
            log.log_action("of the consumer")
            assert list(steps) == []
            log.log_action("of the consumer")
        log.log_action("outside")
    (document,) = documents()
    turns = {turn["agent_name"]: turn for turn in document["interactions"]}
    names = {agent: [action["action_name"] for action in turn["actions"]] for agent, turn in turns.items()}
    assert names == {"streamer": ["inside 1", "inside 2"], "flat": [], "consumer": ["of the consumer"] * 2}
    assert [action["action_name"] for action in document["actions"]] == ["outside"] * 2
    assert turns["flat"]["parent"] == turns["streamer"]["id"]


def test_send_throw_and_close_reach_the_body(log):
    seen = []

    @tailrace.action
    def echo():
        got = None
        while True:
            try:
                got = yield got
            except LookupError as error:
                seen.append(error)
                got = "caught"
            except GeneratorExit:
                seen.append("closed")
                raise

    with log.run():
        steps = echo()
        assert next(steps) is None
        assert steps.send(3) == 3
        thrown = LookupError("x")
        assert steps.throw(thrown) == "caught"
        steps.close()
    assert seen == [thrown, "closed"]
    assert actions()[0]["status"] == "cancelled"
    assert actions()[0]["outcome"] == {"items": 3}


def test_an_error_of_the_body_ends_it_as_failed(log):
    @tailrace.action
    def fail():
        yield 1
        raise OSError("gone")

    with log.run(), pytest.raises(OSError, match="gone"):
        list(fail())
    (action,) = actions()
    assert (action["status"], action["output_data"], action["error"]["type"]) == ("failed", [1], "OSError")


def test_a_generator_that_is_never_run_records_nothing_and_one_let_go_is_cancelled(log):
    @tailrace.action
    def numbers():
        yield 1
        yield 2

    with log.run():
        numbers()
        left = numbers()
        next(left)
        del left
        gc.collect()
        log.info("after")
    (document,) = documents()
    assert [action["status"] for action in document["actions"]] == ["cancelled"]
    assert "action" not in document["logs"][0]


def test_a_generator_may_be_stepped_from_many_threads(log):
    @tailrace.action
    def numbers():
        for number in range(10):
            log.info(number)
            yield number

    def step():
        seen.append(next(steps))
        assert current.get() is None

    seen = []
    with log.run():
        steps = numbers()
        seen.append(next(steps))
        for _ in range(9):
            thread = threading.Thread(target=step)
            thread.start()
            thread.join()
        assert list(steps) == []
    (document,) = documents()
    assert seen == [line["message"] for line in document["logs"]] == list(range(10))
    assert {line["action"] for line in document["logs"]} == {document["actions"][0]["id"]}


def test_the_variables_of_others_are_shared_with_the_consumer_as_in_any_generator(log):
    variable = contextvars.ContextVar("variable")

    @tailrace.action(capture=False)
    def numbers():
        variable.set("by the body")
        yield

    next(numbers())
    assert variable.get() == "by the body"


def test_an_async_generator_is_recorded_and_leaves_its_consumers_context_alone(log):
    @tailrace.agent("streamer")
    async def stream(text):
        for word in text.split():
            await asyncio.sleep(0)
            log.log_action("chat", word)
            yield word

    async def main():
        async with log.run():
            async for word in stream("to be or"):
                log.info(word)
                task = asyncio.create_task(asyncio.to_thread(log.info, "in a task"))
                await task

    asyncio.run(main())
    (document,) = documents()
    (turn,) = document["interactions"]
    assert [action["input_data"] for action in turn["actions"]] == ["to", "be", "or"]
    assert (turn["output_data"], turn["outcome"], turn["status"]) == ("tobeor", {"items": 3}, "success")
    assert not any("interaction" in line for line in document["logs"])


def test_asend_athrow_and_aclose_reach_the_body(log):
    seen = []

    @tailrace.action
    async def echo():
        got = None
        try:
            while True:
                try:
                    got = yield got
                except LookupError:
                    got = "caught"
        finally:
            await asyncio.sleep(0)
            seen.append("closed")

    async def main():
        async with log.run():
            steps = echo()
            assert await anext(steps) is None
            assert await steps.asend(3) == 3
            assert await steps.athrow(LookupError()) == "caught"
            await steps.aclose()
            assert seen == ["closed"]

    asyncio.run(main())
    assert [action["status"] for action in actions()] == ["cancelled"]


def test_a_timeout_inside_the_body_and_around_it_work_across_its_yields(log):
    @tailrace.action
    async def slow():
        async with asyncio.timeout(60):
            yield 1
            await asyncio.sleep(60)

    async def drained():
        async for _ in slow():
            pass

    async def main():
        async with log.run():
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(drained(), 0.01)
            log.info("after")

    asyncio.run(main())
    (document,) = documents()
    assert document["actions"][0]["status"] == "cancelled"
    assert "action" not in document["logs"][0]


def test_an_async_generator_left_behind_is_closed_by_the_loop_without_complaint(log):
    complaints, closed = [], []

    @tailrace.action
    async def stream():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        left = stream()
        assert await anext(left) == 1
        main.left = left  # alive until the loop ends

    asyncio.run(main())
    assert (complaints, closed) == ([], [True])
    assert [document["actions"][0]["status"] for document in documents()] == ["cancelled"]


def test_an_async_generator_stepped_by_many_tasks_stays_in_its_place(log):
    @tailrace.action
    async def numbers():
        for number in range(20):
            await asyncio.sleep(0)
            log.info(number)
            yield number

    async def consume(steps, number):
        with log.run() as run, run.interaction(f"consumer-{number}"):
            async with lock:
                got = await anext(steps)
            log.info(got)

    async def main():
        nonlocal lock
        lock = asyncio.Lock()
        async with log.run(kind="producer"):
            steps = numbers()
            await anext(steps)
            await asyncio.gather(*(consume(steps, number) for number in range(19)))
            await steps.aclose()

    lock = None
    asyncio.run(main())
    producer, *consumers = documents()
    assert [line["message"] for line in producer["logs"]] == list(range(20))
    assert {line["action"] for line in producer["logs"]} == {producer["actions"][0]["id"]}
    assert len(consumers) == 19
    for document in consumers:
        (line,) = document["logs"]
        assert line["interaction"] == document["interactions"][0]["id"]
