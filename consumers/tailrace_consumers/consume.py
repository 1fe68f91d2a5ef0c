"""From settings to running stages: opens bus and store, ends on signals, sweeps orphaned spools, reports."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from typing import Any

import anyio
import msgspec
from anyio.abc import TaskStatus

from tailrace.bus import UNBOUNDED, Bus, Partition, Subscription
from tailrace.bus.topics import Topics
from tailrace.config import Config
from tailrace.consumer import Address, Progress
from tailrace.publish import ship
from tailrace.registry import open_bus, open_store
from tailrace.store import Store
from tailrace_consumers.dead_letters import DeadLetters
from tailrace_consumers.health import Status, status_of
from tailrace_consumers.process import memory_of_a_worker
from tailrace_consumers.retry import Report, Retry
from tailrace_consumers.runner import Runner, Until
from tailrace_consumers.sinks import BusSink, Sink, StoreSink
from tailrace_consumers.stage import Stage

_SWEEP_EVERY = 30.0
_REPORT_EVERY = 1.0
_LAG_EVERY = 5.0
_log = logging.getLogger("tailrace.consumers")


class Plan(msgspec.Struct, frozen=True):
    """What one stage needs to run. Its name is also that of its consumer group."""

    name: str
    stage: Stage[Any]
    reads: str
    """A topic, or a pattern as `Bus.subscribe` takes them."""
    creates: tuple[str, ...] = ()
    """Topics to create at the start; the bus creates others when they are first written."""
    into_store: bool = False
    sink: Callable[[Bus], Sink[Any]] | None = None
    """Where its output goes, if it is not only records for the bus or documents for the store."""
    max_records: int = 1000
    max_bytes: int = UNBOUNDED
    """These two as in `Subscription.receive`."""


class _Running:
    """One stage with all it needs, on a bus that may be away when it starts."""

    def __init__(self, config: Config, plan: Plan, bus: Bus, sink: Sink[Any], report: Report | None) -> None:
        topics = Topics(config.prefix)
        self._plan = plan
        self._bus = bus
        self._group = topics.group(plan.name)
        self._creates = (*plan.creates, topics.dead)
        self._lags: dict[Partition, int] = {}
        self._heard_at = time.monotonic()
        self._retry = Retry(Progress(plan.name), report)
        letters = DeadLetters(bus, topics.dead, plan.name)
        self.runner: Runner[Any] = Runner(
            plan.stage,
            sink,
            letters,
            self._retry,
            backlog=self._backlog,
            max_records=plan.max_records,
            max_bytes=plan.max_bytes,
            max_dead_per_minute=config.consume.max_dead_per_minute,
        )

    async def _backlog(self) -> int:
        self._lags = await self._bus.lag(self._plan.reads, group=self._group)
        return sum(self._lags.values())

    async def run(self, until: Until) -> Progress:
        async with AsyncExitStack() as stack:

            async def connect() -> Subscription:
                await self._bus.create_topics(self._creates)
                return await stack.enter_async_context(self._bus.subscribe(self._plan.reads, group=self._group))

            await self.runner.run(connect, until=until)
        await self.runner.measure_lag()
        self.report()
        return self.runner.progress

    def status(self) -> Status:
        """From any thread."""
        return status_of(
            self.runner.progress,
            self.runner.pulse,
            self._lags,
            into_store=self._plan.into_store,
            heard_at=self._heard_at,
        )

    def report(self) -> None:
        self._heard_at = time.monotonic()
        self.runner.progress.counts = dict(self._plan.stage.counts())
        self._retry.report()


async def consume(
    config: Config, plans: Sequence[Plan], *, until: Until = "cancelled", report: Report | None = None
) -> list[Progress]:
    """Run stages on one bus and one store; see `tailrace.consumer.Consumer`.

    Until caught up they run one after the other. Else they run side by side: SIGTERM or SIGINT, where this is the
    main thread, lets them write and commit what they have, for at most 5 s; a second one acts as usual. Cancelling
    ends at once and loses nothing either: what was not committed is read again.
    """
    async with AsyncExitStack() as stack:
        bus = open_bus(config)
        stack.push_async_callback(_close, bus)
        store = None
        if any(plan.into_store for plan in plans):
            store = open_store(config)
            stack.push_async_callback(_close, store)
        running = [_Running(config, plan, bus, sink_of(plan, bus, store), report) for plan in plans]
        if until == "caught_up":
            await _sweep(config, bus)
            return [await each.run(until) for each in running]
        return await _run_side_by_side(config, bus, running)


def sink_of(plan: Plan, bus: Bus, store: Store | None) -> Sink[Any]:
    """Where a plan's output goes."""
    if plan.sink:
        return plan.sink(bus)
    return StoreSink(store) if store and plan.into_store else BusSink(bus)


async def _run_side_by_side(config: Config, bus: Bus, running: Sequence[_Running]) -> list[Progress]:
    try:
        with _metrics(config, running):
            await _run_until_stopped(config, bus, running)
    except ExceptionGroup as group:
        raise _first(group) from group
    return [each.runner.progress for each in running]


@contextmanager
def _metrics(config: Config, running: Sequence[_Running]) -> Iterator[None]:
    address = Address.of(config)
    if address is None:
        yield
        return
    from tailrace_consumers.metrics import serving  # noqa: PLC0415 - its library is an extra

    with serving(address, lambda: [each.status() for each in running]) as served:
        _log.info("serving http://%s/metrics, /livez and /readyz", served)
        yield


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


async def _run_until_stopped(config: Config, bus: Bus, running: Sequence[_Running]) -> None:
    async with anyio.create_task_group() as background:
        background.start_soon(_sweep_now_and_then, config, bus)
        background.start_soon(_report_now_and_then, running)
        background.start_soon(_measure_now_and_then, running)
        with ExitStack() as stack:
            if threading.current_thread() is threading.main_thread():  # else the process is somebody else's
                await background.start(_stop_on_signal, running)
                stack.enter_context(memory_of_a_worker())
            async with anyio.create_task_group() as stages:
                for each in running:
                    stages.start_soon(each.run, "cancelled")
        background.cancel_scope.cancel()


async def _stop_on_signal(running: Sequence[_Running], *, task_status: TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            break
        for each in running:
            each.runner.stop()


async def _report_now_and_then(running: Sequence[_Running]) -> None:
    while True:
        for each in running:
            each.report()
        await anyio.sleep(_REPORT_EVERY)


async def _measure_now_and_then(running: Sequence[_Running]) -> None:
    """Apart from the reports, which come also while the bus does not answer."""
    while True:
        for each in running:
            await each.runner.measure_lag()
        await anyio.sleep(_LAG_EVERY)


async def _sweep_now_and_then(config: Config, bus: Bus) -> None:
    while True:
        await _sweep(config, bus)
        await anyio.sleep(_SWEEP_EVERY)


async def _sweep(config: Config, bus: Bus) -> None:
    """Ship what dead processes left on their spools under this `home`; live ones ship their own."""
    report = await ship(config, bus)
    for error in report.errors:
        _log.warning("an orphaned spool stays for now: %s", error)


async def _close(opened: Bus | Store) -> None:
    """Also when cancelled: threads and connections must not outlive the loop."""
    with anyio.CancelScope(shield=True):
        await opened.aclose()
