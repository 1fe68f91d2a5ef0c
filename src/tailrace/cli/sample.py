"""`tailrace sample`: what other sampling policies would have kept."""

from __future__ import annotations

import time
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from tailrace.bus import Start
from tailrace.cli import wording
from tailrace.cli.output import say, stdout, write_json
from tailrace.config import load, load_file
from tailrace.consumer import find_replay
from tailrace.errors import ConfigError
from tailrace.event.ids import parse_time
from tailrace.registry import open_bus
from tailrace.store.grammar import parse

Form = Annotated[
    Literal["table", "json"], Parameter(name=("--output", "-o"), help="json: one object for each policy and verdict.")
]


async def sample(
    *,
    replay: Annotated[bool, Parameter(negative=(), help="On history; nothing is written.")] = False,
    policy: Annotated[
        Path | None, Parameter(help="A toml file with `[sample]`; default: the present settings.")
    ] = None,
    since: Annotated[str | None, Parameter(help="Runs begun since: `2d`, `12h` or a time; default: all.")] = None,
    form: Form = "table",
) -> None:
    """Show what sampling policies would have kept of the runs on the bus: `tailrace sample --replay --since 2d`."""
    if not replay:
        raise ConfigError("`tailrace sample` needs --replay; to sample what comes, run `tailrace consume sample`")
    config = load()
    settings = load_file(policy).sample if policy else config.sample
    async with aclosing(open_bus(config)) as bus:
        report = await find_replay()(config, bus, settings, _start(since))
    if form == "json":
        for share in report.shares:
            write_json(msgspec.json.encode(share))
    elif report.shares:
        stdout().print(_table(report.shares))
    else:
        say("no run on the bus began in that time")
    if report.earlier:
        say(f"left out: {wording.counted(report.earlier, 'run')} begun before")
    if report.unreadable:
        say(f"left out: {wording.counted(report.unreadable, 'record')} that are no events")


def _start(since: str | None) -> Start:
    if since is None:
        return "earliest"
    text = parse(f"since:{since}", now=time.time()).since
    seconds = parse_time(text) if text else None
    return "earliest" if seconds is None else seconds


def _table(shares: list[Any]) -> Table:
    table = Table("policy", "verdict", box=None, header_style="bold", pad_edge=False)
    for name in ("runs", "events", "storage", "tokens", "cost", "stand for"):
        table.add_column(name, justify="right", no_wrap=True)
    for kept in (True, False):
        for share in (each for each in shares if each.kept is kept):
            table.add_row(Text(wording.payload(share.policy)), *_cells([share], "kept" if kept else "dropped"))
    table.add_row(Text("all", "bold"), *_cells(shares, ""))
    return table


def _cells(shares: list[Any], verdict: str) -> list[str]:
    return [
        verdict,
        f"{sum(share.runs for share in shares):,}",
        f"{sum(share.events for share in shares):,}",
        wording.size(sum(share.bytes for share in shares)),
        f"{sum(share.tokens for share in shares):,.0f}",
        wording.dollars(sum(share.cost_usd for share in shares)),
        f"{sum(share.weight for share in shares):,.0f}",
    ]
