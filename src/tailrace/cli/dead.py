"""`tailrace dead`: what no consumer could use; looking at it, and sending it back."""

from __future__ import annotations

import base64
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import App, Parameter
from rich.table import Table
from rich.text import Text

from tailrace.bus import Bus, matches
from tailrace.bus.dead_letters import Letter, read
from tailrace.bus.topics import Topics
from tailrace.cli import wording
from tailrace.cli.catch_up import catch_up
from tailrace.cli.escape import escape
from tailrace.cli.output import say, stdout, write_json
from tailrace.cli.reading import batches, start_of
from tailrace.config import Config, load
from tailrace.errors import BusError, ConfigError
from tailrace.event.ids import time_text
from tailrace.registry import open_bus

dead = App(name="dead", help="List, show and redrive dead letters: records that no consumer could use.")

Topic = Annotated[
    str | None, Parameter(help="Only those from this topic; with `*` at its end, from any that begins so.")
]
Stage = Annotated[str | None, Parameter(help="Only those that this stage gave up: `sample`, `aggregate`, `index`.")]
Since = Annotated[str | None, Parameter(help="Only those given up since: `15m`, `2h` or a time.")]

_TOGETHER = 100
"""Letters published in one go."""


class _Wanted(msgspec.Struct, frozen=True):
    """Which letters."""

    topic: str | None
    stage: str | None

    def __call__(self, letter: Letter) -> bool:
        return (self.topic is None or matches(letter.dead.topic, [self.topic])) and self.stage in {None, letter.stage}


@dead.command(name="list")
async def list_(
    *,
    topic: Topic = None,
    stage: Stage = None,
    since: Since = None,
    limit: Annotated[int, Parameter(alias="-n", help="At most this many letters.")] = 50,
    form: Annotated[Literal["table", "json"], Parameter(name=("--output", "-o"), help="json: one object a line.")] = (
        "table"
    ),
) -> None:
    """List dead letters, newest first. Their topic keeps them until its retention ends, also redriven ones."""
    config, start = load(), start_of(since)
    await catch_up(config)
    wanted, count = _Wanted(topic, stage), 0
    newest: deque[Letter] = deque(maxlen=max(limit, 0))
    async with aclosing(open_bus(config)) as bus:
        async for letter in _letters(bus, config, start):
            if wanted(letter):
                newest.append(letter)
                count += 1
    found = sorted(newest, key=lambda letter: -letter.timestamp)
    if form == "json":
        for letter in found:
            write_json(msgspec.json.encode(_facts(letter)))
    elif found:
        stdout().print(_table(found, now=time.time()))
    if not count:
        say("no dead letter" + (" is like that" if topic or stage or since else "s"))
    elif count > len(found):
        say(f"the newest {len(found)} of {count:,}; --limit {count} shows all")


@dead.command
async def show(
    letter: Annotated[str, Parameter(help="As `tailrace dead list` names it: `0:17`.")],
    *,
    form: Annotated[Literal["text", "json"], Parameter(name=("--output", "-o"), help="json: one object.")] = "text",
) -> int:
    """Show one dead letter: where it comes from, why it was given up, its headers and its value."""
    config = load()
    await catch_up(config)
    async with aclosing(open_bus(config)) as bus:
        (found,) = await _named(bus, config, [letter]) or (None,)
    if found is None:
        return 1
    facts = _facts(found) | {
        "headers": {name: value.decode("utf-8", "replace") for name, value in found.dead.headers},
        **_value(found.dead.value),
    }
    if form == "json":
        write_json(msgspec.json.encode(facts), pretty=True)
        return 0
    for name, value in facts.items():
        stdout().print(Text(f"{name:<10}", "bold").append(wording.payload(value)), soft_wrap=True)
    return 0


@dead.command
async def redrive(
    *letters: Annotated[str, Parameter(help="As `tailrace dead list` names them: `0:17`.")],
    topic: Topic = None,
    stage: Stage = None,
    since: Since = None,
    every: Annotated[bool, Parameter(name="--all", negative=(), help="All there are.")] = False,
    again: Annotated[bool, Parameter(negative=(), help="Also those that were redriven before and died again.")] = False,
    dry_run: Annotated[bool, Parameter(negative=(), help="Say what would be sent back, and send nothing.")] = False,
) -> int:
    """Send dead letters back to the topics that they come from, for the consumers to try again.

    Documents take a record once, so redriving what was redriven already does no harm. A record that dies again is not
    redriven by filters, unless with `--again`.
    """
    if not (letters or topic or stage or since or every):
        raise ConfigError("which dead letters? Name some, or give --topic, --stage, --since or --all")
    config, start = load(), start_of(since)
    await catch_up(config)
    async with aclosing(open_bus(config)) as bus:
        if letters:
            found = await _named(bus, config, letters)
            missing = len(set(letters)) - len(found)
        else:
            wanted, missing = _Wanted(topic, stage), 0
            found = _fresh([each async for each in _letters(bus, config, start) if wanted(each)], again=again)
        ready = [letter for letter in found if _can_go(letter, config)]
        refused = 0 if dry_run else await _send_back(bus, ready)
    for name in sorted({letter.dead.topic for letter in ready}):
        count = sum(letter.dead.topic == name for letter in ready)
        verb = "would go" if dry_run else "sent"
        stdout().print(escape(f"{wording.counted(count, 'letter')} {verb} back to {name}"), soft_wrap=True)
    if not found and not missing:
        say("no dead letter is to be sent back")
    return 1 if missing or refused or len(ready) < len(found) else 0


async def _letters(bus: Bus, config: Config, start: Any) -> AsyncIterator[Letter]:
    async with aclosing(batches(bus, Topics(config.prefix).dead, start=start)) as arriving:
        async for batch in arriving:
            for record in batch.records:
                yield read(record)


async def _named(bus: Bus, config: Config, names: Sequence[str]) -> list[Letter]:
    """The letters of these names; says which there are not."""
    found = {letter.id: letter async for letter in _letters(bus, config, "earliest") if letter.id in names}
    for name in dict.fromkeys(names):
        if name not in found:
            say(f"no dead letter is named {name!r}; `tailrace dead list` names them")
    return list(found.values())


def _fresh(letters: Sequence[Letter], *, again: bool) -> list[Letter]:
    """One letter of each record, and none of those that were redriven and died again; with `again` these too."""
    latest: dict[tuple[str, bytes, bytes], Letter] = {}
    for letter in letters:
        record = (letter.dead.topic, letter.dead.key, letter.dead.value)
        if record not in latest or letter.redriven >= latest[record].redriven:
            latest[record] = letter
    fresh = [letter for letter in latest.values() if again or not letter.redriven]
    if len(fresh) < len(latest):
        say(f"{wording.counted(len(latest) - len(fresh), 'record')} died again after redriving; --again takes them too")
    return fresh


def _can_go(letter: Letter, config: Config) -> bool:
    """Whether it can be redriven; says why it cannot."""
    target = letter.dead.topic
    if not target.startswith(f"{config.prefix}.") or target == Topics(config.prefix).dead:
        say(f"{letter.id} does not come from a topic of {config.prefix!r}, but from {target!r}: it stays")
    elif not letter.is_whole:
        say(f"{letter.id} is without its value of {wording.size(letter.size)}, which was too large: it stays")
    else:
        return True
    return False


async def _send_back(bus: Bus, letters: Sequence[Letter]) -> int:
    """How many the bus refused."""
    refused = 0
    for first in range(0, len(letters), _TOGETHER):
        some = letters[first : first + _TOGETHER]
        try:
            await bus.publish([letter.original() for letter in some])
        except BusError as error:
            if error.retryable:
                raise
            if len(some) == 1:
                say(f"{some[0].id} is refused: {error}")
                refused += 1
            else:
                refused += sum([await _send_back(bus, [letter]) for letter in some])
    return refused


def _facts(letter: Letter) -> dict[str, Any]:
    return {
        "letter": letter.id,
        "time": time_text(letter.timestamp),
        "stage": letter.stage,
        "topic": letter.dead.topic,
        "partition": letter.dead.partition,
        "offset": letter.dead.offset,
        "key": letter.dead.key.decode("utf-8", "replace"),
        "bytes": letter.size,
        "redriven": letter.redriven,
        "error": letter.dead.error,
    }


def _value(value: bytes) -> dict[str, str]:
    try:
        return {"value": value.decode()}
    except UnicodeDecodeError:
        return {"value_base64": base64.b64encode(value).decode()}


def _table(letters: Sequence[Letter], now: float) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("letter", "given up", "stage", "from"):
        table.add_column(name, no_wrap=True)
    table.add_column("size", no_wrap=True, justify="right")
    table.add_column("error", overflow="ellipsis", no_wrap=True)
    for letter in letters:
        dead = letter.dead
        at = "" if dead.offset < 0 else f" {dead.partition}:{dead.offset}"
        again = f"redriven {letter.redriven} x: " if letter.redriven else ""
        table.add_row(
            Text(letter.id, "bold"),
            Text(wording.age(time_text(letter.timestamp), now)),
            Text(wording.payload(letter.stage)),
            Text(wording.payload(dead.topic) + at),
            Text(wording.size(letter.size)),
            Text(again + wording.payload(dead.error)),
        )
    return table
