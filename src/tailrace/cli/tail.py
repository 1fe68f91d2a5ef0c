"""`tailrace tail`: events as they stand on the bus, and as they arrive."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from contextlib import aclosing
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from tailrace.bus import Batch, Bus, Start
from tailrace.bus.topics import Topics
from tailrace.cli.catch_up import catch_up
from tailrace.cli.lines import line, summary
from tailrace.cli.output import flush, say, stdout, write_json
from tailrace.config import Config, load
from tailrace.errors import DecodeError
from tailrace.event import Event, decode, stamp
from tailrace.event.ids import parse_time
from tailrace.registry import open_bus
from tailrace.store.grammar import parse

Form = Annotated[
    Literal["default", "raw", "json"],
    Parameter(name=("--output", "-o"), help="raw: only what the event says; json: the event as on the topic."),
]

_WAIT = 1.0
_LAST_WAIT = 0.1
"""Seconds to wait for more, where the end of what is there ends the command."""

_Told = tuple[Event, bytes]
"""An event, and the bytes it came as."""


async def tail(
    workflow: Annotated[str | None, Parameter(help="Only this workflow; default: all.")] = None,
    /,
    *,
    agent: Annotated[tuple[str, ...], Parameter(alias="-a", negative=(), help="Only these agents.")] = (),
    since: Annotated[str | None, Parameter(help="Only events the bus took since: `15m`, `2h` or a time.")] = None,
    follow: Annotated[bool, Parameter(alias="-f", negative=(), help="Go on with new events, until Ctrl-C.")] = False,
    last: Annotated[int | None, Parameter(alias="-n", help="Of what is there already only the last so many.")] = None,
    form: Form = "default",
) -> None:
    """Print events from the bus, oldest first.

    Without `-f` it stops at the end of what is there. With `-f` and neither `--since` nor `-n` it begins now.
    """
    config = load()
    start = _start(since, follow=follow, last=last)
    wanted = _filter(workflow, agent)
    await catch_up(config)
    async with aclosing(open_bus(config)) as bus:
        batches = _batches(bus, _topics(config, workflow), start, follow=follow)
        async for told in _limited(batches, wanted, last):
            _print(told, form)


def _start(since: str | None, *, follow: bool, last: int | None) -> Start:
    if since is not None:
        time_text = parse(f"since:{since}", now=time.time()).since
        seconds = parse_time(time_text) if time_text else None
        return "earliest" if seconds is None else seconds
    return "latest" if follow and last is None else "earliest"


def _topics(config: Config, workflow: str | None) -> tuple[str, ...]:
    topics = Topics(config.prefix)
    return (topics.all_events,) if workflow is None else (topics.events(workflow), topics.overflow(workflow))


def _filter(workflow: str | None, agents: Collection[str]) -> Callable[[Event], bool]:
    return lambda event: (workflow is None or event.workflow == workflow) and (not agents or event.agent in agents)


async def _batches(bus: Bus, topics: tuple[str, ...], start: Start, *, follow: bool) -> AsyncGenerator[Batch, None]:
    async with bus.subscribe(*topics, start=start) as subscription:
        while True:
            batch = await subscription.receive(wait=_WAIT if follow else _LAST_WAIT)
            yield batch
            if batch.caught_up and not follow:
                return


async def _limited(
    batches: AsyncGenerator[Batch, None], wanted: Callable[[Event], bool], last: int | None
) -> AsyncGenerator[list[_Told], None]:
    """The wanted events of each batch; with `last`, only so many of those before the first end is reached."""
    held: deque[_Told] | None = None if last is None else deque(maxlen=last)
    async with aclosing(batches):
        async for batch in batches:
            told = sorted((one for one in _decoded(batch) if wanted(one[0])), key=lambda one: stamp(one[0]))
            if held is None:
                yield told
                continue
            held.extend(told)
            if batch.caught_up:
                yield list(held)
                held = None


def _decoded(batch: Batch) -> Iterable[_Told]:
    for record in batch.records:
        try:
            yield decode(record.value), record.value
        except DecodeError as error:
            say(f"{record.topic} partition {record.partition} offset {record.offset}: {error}")


def _print(told: list[_Told], form: str) -> None:
    console = stdout()
    for event, value in told:
        if form == "json":
            write_json(msgspec.json.format(value, indent=-1) if b"\n" in value else value)
        elif form == "raw" and not sys.stdout.isatty():
            sys.stdout.write(f"{summary(event)}\n")
        else:
            console.print(line(event), soft_wrap=True)
    flush()
