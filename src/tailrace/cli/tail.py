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
from tailrace.cli.lines import agent_name, line, summary
from tailrace.cli.output import flush, say, stdout, write_json
from tailrace.config import Config, load
from tailrace.errors import DecodeError, QueryError
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

_LATEST = 2
"""Runs that `--previous` looks at."""

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
    all_agents: Annotated[
        bool, Parameter(negative=(), help="What agents said, each line begun with the agent's name.")
    ] = False,
    previous: Annotated[
        bool, Parameter(alias="-p", negative=(), help="The run before the latest, of those that match.")
    ] = False,
    form: Form = "default",
) -> None:
    """Print events from the bus, oldest first.

    Without `-f` it stops at the end of what is there. With `-f` and neither `--since` nor `-n` it begins now. `-a AGENT
    -f` follows one agent over all runs, processes and machines.
    """
    if previous and follow:
        raise QueryError("--previous shows a run that others have followed; leave out --follow")
    config = load()
    start = _start(since, follow=follow, last=last)
    wanted = _filter(workflow, agent, only_agents=all_agents)
    await catch_up(config)
    async with aclosing(open_bus(config)) as bus:
        batches = _batches(bus, _topics(config, workflow), start, follow=follow)
        chosen = _previous if previous else _limited
        async for told in chosen(batches, wanted, last):
            _print(told, form, prefix=all_agents)


def _start(since: str | None, *, follow: bool, last: int | None) -> Start:
    if since is not None:
        time_text = parse(f"since:{since}", now=time.time()).since
        seconds = parse_time(time_text) if time_text else None
        return "earliest" if seconds is None else seconds
    return "latest" if follow and last is None else "earliest"


def _topics(config: Config, workflow: str | None) -> tuple[str, ...]:
    topics = Topics(config.prefix)
    return (topics.all_events,) if workflow is None else (topics.events(workflow), topics.overflow(workflow))


def _filter(workflow: str | None, agents: Collection[str], *, only_agents: bool) -> Callable[[Event], bool]:
    def wanted(event: Event) -> bool:
        spoke = event.agent in agents if agents else bool(event.agent) or not only_agents
        return spoke and (workflow is None or event.workflow == workflow)

    return wanted


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


async def _previous(
    batches: AsyncGenerator[Batch, None], wanted: Callable[[Event], bool], last: int | None
) -> AsyncGenerator[list[_Told], None]:
    """The wanted events of the run before the latest one that has any: run ids sort by the time of their run's begin.

    Only the two latest runs are held.
    """
    runs: dict[str, list[_Told]] = {}
    async with aclosing(batches):
        async for batch in batches:
            for one in _decoded(batch):
                if wanted(one[0]):
                    runs.setdefault(one[0].run, []).append(one)
                if len(runs) > _LATEST:
                    del runs[min(runs)]
    if len(runs) < _LATEST:
        say("there is no run before the latest one")
        return
    told = sorted(runs[min(runs)], key=lambda one: stamp(one[0]))
    yield told if last is None else told[len(told) - min(last, len(told)) :]


def _decoded(batch: Batch) -> Iterable[_Told]:
    for record in batch.records:
        try:
            yield decode(record.value), record.value
        except DecodeError as error:
            say(f"{record.topic} partition {record.partition} offset {record.offset}: {error}")


def _print(told: list[_Told], form: str, *, prefix: bool) -> None:
    console = stdout()
    for event, value in told:
        if form == "json":
            write_json(msgspec.json.format(value, indent=-1) if b"\n" in value else value)
        elif form == "raw" and not sys.stdout.isatty():
            name = f"[{agent_name(event)}] " if prefix else ""
            sys.stdout.writelines(f"{name}{each}\n" for each in summary(event).split("\n"))
        else:
            console.print(line(event, prefix=prefix), soft_wrap=True)
    flush()
