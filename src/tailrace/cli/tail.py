"""`tailrace tail`: events as they stand on the bus, and as they arrive."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from contextlib import aclosing
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from tailrace.bus import Batch, Start
from tailrace.bus.topics import Topics
from tailrace.cli.catch_up import catch_up
from tailrace.cli.lines import agent_name, line, plain, summary
from tailrace.cli.output import flush, say, stdout, write_json
from tailrace.cli.reading import batches, start_of
from tailrace.config import Config, load
from tailrace.errors import DecodeError, QueryError
from tailrace.event import Event, decode, stamp
from tailrace.registry import open_bus

Form = Annotated[
    Literal["default", "raw", "json"],
    Parameter(name=("--output", "-o"), help="raw: only what the event says; json: the event as on the topic."),
]

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
        arriving = batches(bus, *_topics(config, workflow), start=start, follow=follow)
        chosen = _previous if previous else _limited
        async for told in chosen(arriving, wanted, last):
            _print(told, form, prefix=all_agents)


def _start(since: str | None, *, follow: bool, last: int | None) -> Start:
    return "latest" if follow and last is None and since is None else start_of(since)


def _topics(config: Config, workflow: str | None) -> tuple[str, ...]:
    topics = Topics(config.prefix)
    return (topics.all_events,) if workflow is None else (topics.events(workflow), topics.overflow(workflow))


def _filter(workflow: str | None, agents: Collection[str], *, only_agents: bool) -> Callable[[Event], bool]:
    def wanted(event: Event) -> bool:
        spoke = event.agent in agents if agents else bool(event.agent) or not only_agents
        return spoke and (workflow is None or event.workflow == workflow)

    return wanted


async def _limited(
    arriving: AsyncGenerator[Batch, None], wanted: Callable[[Event], bool], last: int | None
) -> AsyncGenerator[list[_Told], None]:
    """The wanted events of each batch; with `last`, only so many of those before the first end is reached."""
    held: deque[_Told] | None = None if last is None else deque(maxlen=last)
    async with aclosing(arriving):
        async for batch in arriving:
            told = sorted((one for one in _decoded(batch) if wanted(one[0])), key=lambda one: stamp(one[0]))
            if held is None:
                yield told
                continue
            held.extend(told)
            if batch.caught_up:
                yield list(held)
                held = None


async def _previous(
    arriving: AsyncGenerator[Batch, None], wanted: Callable[[Event], bool], last: int | None
) -> AsyncGenerator[list[_Told], None]:
    """The wanted events of the run before the latest one that has any: run ids sort by the time of their run's begin.

    Only the two latest runs are held.
    """
    runs: dict[str, list[_Told]] = {}
    async with aclosing(arriving):
        async for batch in arriving:
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
    is_terminal = console.is_terminal  # it looks into the environment: once, not for each line
    for event, value in told:
        if form == "json":
            write_json(msgspec.json.format(value, indent=-1) if b"\n" in value else value)
        elif form == "raw" and not sys.stdout.isatty():
            name = f"[{agent_name(event)}] " if prefix else ""
            sys.stdout.writelines(f"{name}{each}\n" for each in summary(event).split("\n"))
        elif is_terminal:
            console.print(line(event, prefix=prefix), soft_wrap=True)
        else:
            sys.stdout.write(f"{plain(event, prefix=prefix)}\n")
    flush()
