"""The public interface as two type checkers see it. Never run: `tests/typing/test_typing.py` has it checked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, assert_type

import tailrace
from tailrace import overrides
from tailrace.stdlib import ContextFilter, JsonFormatter, LoggingSink, TailraceHandler, WorkflowHook
from tailrace.testing import CapturedEvents, FakeClock, InMemory, capture_events, in_memory

log = tailrace.get_logger("support-bot")
assert_type(log, tailrace.Logger)
assert_type(tailrace.configure_logger(workflow_name="x", bus="memory:"), tailrace.Logger)
assert_type(log.agent("planner"), tailrace.AgentLogger)
assert_type(log.stats(), tailrace.Stats)
assert_type(log.stats().inbound_rejected, dict[str, int])
assert_type(log.run_id, str | None)


def scopes() -> None:
    with log.run(session="c-17", tags=["beta"], build=7) as run:
        assert_type(run, tailrace.Run)
        assert_type(run.run_id, str)
        with run.iteration() as iteration, iteration.interaction("planner", input="q") as turn:
            assert_type(iteration, tailrace.Iteration)
            assert_type(turn, tailrace.Interaction)
            with turn.action("search", input="q") as act:
                assert_type(act, tailrace.Action)
                act.output, act.tokens, act.cost = object(), {"input": 1}, 0.1


async def waiting() -> None:
    async with log.run() as run:
        assert_type(run, tailrace.Run)
        await log.drain()
    assert_type(await log.flush("disk", timeout=1), tailrace.FlushResult)


@tailrace.action
def bare(query: str, *, limit: int = 10) -> list[str]:
    return [query] * limit


@tailrace.action("search", capture=["query", "return"], redact={"query"})
def named(query: str, *, limit: int = 10) -> list[str]:
    return [query] * limit


@tailrace.agent("planner")
async def coroutine(question: str) -> int:
    return len(question)


@tailrace.workflow("support-bot", tags=["beta"])
def generator(count: int) -> Generator[int, str, bool]:
    yield count
    return True


@tailrace.agent
async def stream(text: str) -> AsyncGenerator[str, None]:
    yield text


class Tools:
    @tailrace.action
    def method(self, a: int) -> str:
        return str(a)

    @classmethod
    @tailrace.action("below")
    def below(cls, a: int) -> str:
        return str(a)

    @staticmethod
    @tailrace.action
    def static(a: int) -> str:
        return str(a)

    @property
    @tailrace.action
    def size(self) -> int:
        return 1


def as_decorated() -> None:
    assert_type(bare("q", limit=3), list[str])
    assert_type(named("q"), list[str])
    assert_type(generator(3), Generator[int, str, bool])
    assert_type(stream("a"), AsyncGenerator[str, None])
    assert_type(Tools().method(1), str)
    assert_type(Tools.below(1), str)
    assert_type(Tools.static(1), str)
    assert_type(Tools().size, int)
    bare(1)  # error: the first parameter is text
    bare("q", 3)  # error: the second is by keyword
    named()  # error: one is missing
    Tools().method("a")  # error: a number is taken
    tailrace.action(7)  # error: no function


async def awaited() -> None:
    assert_type(await coroutine("q"), int)
    asyncio.run(coroutine("q"))
    await coroutine(7)  # error: text is taken


def carried(headers: dict[str, str], pairs: list[tuple[str, bytes]]) -> None:
    assert_type(tailrace.inject(), dict[str, str])
    assert_type(tailrace.inject(headers, baggage={"tenant": "acme"}), dict[str, str])
    assert_type(tailrace.inject(pairs), list[tuple[str, bytes]])
    with tailrace.extract(headers) as inbound:
        assert_type(inbound, tailrace.Inbound)
        assert_type(inbound.run_id, str | None)
        assert_type(inbound.baggage, dict[str, str])
    assert_type(tailrace.wrap(bare)("q", limit=1), list[str])
    tailrace.wrap(bare)(1)  # error: the first parameter is text
    wrapped: Callable[[str], Awaitable[int]] = tailrace.wrap(coroutine)
    with ThreadPoolExecutor() as pool:
        assert_type(pool.submit(tailrace.wrap(named), "q").result(), list[str])
    print(wrapped)


@tailrace.override(workflow="support-*", agent="planner", action="pay")
def masked(event: overrides.Draft, write: overrides.Write) -> None:
    assert_type(event.data, dict[str, Any])
    event.redact("input_data")
    event.agent, event.topic = "other", "tailrace.events.audit"
    write(event)


def overridden() -> None:
    assert_type(masked, overrides.Override)
    assert_type(tailrace.override(overrides.drop, action="heartbeat"), overrides.Override)
    for ready in (overrides.redact("output_data"), overrides.route("topic"), overrides.level("DEBUG")):
        with tailrace.override(ready) as installed:
            installed.remove()
    tailrace.override(overrides.tee("kafka://host:9092"))
    tailrace.override(overrides.drop, level="DEBUG")  # error: not something that an override is for
    tailrace.override("drop")  # error: no function


class Mine(tailrace.BaseWorkflowLogger):
    def start_iteration(self, iteration_id: int) -> None: ...

    def log_action(self, agent_name: str, action_name: str, details: dict[str, Any]) -> None: ...

    def end_iteration(self, status: str) -> None: ...


def exchanged() -> None:
    with tailrace.set_workflow_logger(Mine(), local=True) as mine:
        assert_type(mine, tailrace.BaseWorkflowLogger)
    undo = tailrace.set_workflow_logger(tailrace.DefaultWorkflowLogger())
    tailrace.get_workflow_logger().log_action("planner", "search", {"q": 1})
    undo()
    tailrace.set_workflow_logger(log)  # error: no workflow logger
    tailrace.AgentLogger("planner").info("alone")
    assert_type(tailrace.CentralAggregator.instance().flush(timeout=1), bool)


def bridged() -> None:
    with tailrace.install("INFO", workflow="scripts") as installed:
        assert_type(installed, tailrace.Installed)
    handler: logging.Handler = TailraceHandler(logging.INFO, workflow="w", ignore=["urllib3"])
    handler.addFilter(ContextFilter())
    handler.setFormatter(JsonFormatter(ecs=True))
    with LoggingSink(agent="planner") as sink:
        sink.remove()
    hook = WorkflowHook("w")
    hook.log_interaction("planner", "search", {"q": 1})
    assert_type(hook.run_id, str | None)


async def tested(home: str) -> None:
    clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    with capture_events(clock=clock, verbosity="DEBUG") as captured:
        assert_type(captured, CapturedEvents)
        assert_type(captured.document, dict[str, Any])
    async with in_memory(home) as memory:
        assert_type(memory, InMemory)
        assert_type(await memory.documents(), list[dict[str, Any]])


def flat(rows: Iterator[int]) -> None:
    log.start_iteration(1)
    log.start_interaction("planner", input_data={"rows": rows})
    log.log_action("search", input_data=1, output_data=2, model="m", tokens=3, cost=0.1, duration_ms=5, extra=6)
    log.end_interaction(output_data=rows, status="success")
    log.end_iteration("success")
    log.add_resource("s3://bucket/x.csv", size=3)
    log.log_error("boom", exc=ValueError())
    log.info("text", key=object())
    log.finalize("completed")
    log.log_action()  # error: an action has a name
    log.run(tags=3)  # error: tags are several
