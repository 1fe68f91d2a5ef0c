"""`tailrace runs` and `tailrace search`: lists of runs, newest first."""

from __future__ import annotations

import time
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter
from rich.table import Table
from rich.text import Text

from tailrace.cli import wording
from tailrace.cli.catch_up import current_store
from tailrace.cli.output import say, stdout, write_json
from tailrace.cli.totals import Totals
from tailrace.config import Config, load
from tailrace.document import Summary
from tailrace.store import Page, Query, Store
from tailrace.store.entry import MAX_PAGE
from tailrace.store.grammar import parse

Limit = Annotated[int, Parameter(alias="-n", help="At most this many runs.")]
Form = Annotated[Literal["table", "json"], Parameter(name=("--output", "-o"), help="json: one object a line.")]

_NAME_WIDTH = 40
_MOST_IN_TOTAL = 10_000
"""Runs that are added up; a store of millions is not read through for a line."""


async def runs(
    *query: Annotated[str, Parameter(help="Words, `workflow:` `status:` `agent:` `since:2h` `until:`.")],
    limit: Limit = 20,
    form: Form = "table",
) -> None:
    """List runs, newest first: `tailrace runs status:failed since:2h`.

    The last line of the table is the total of all that match, of the newest 10,000 where there are more. Runs that the
    sampler dropped are in it: as stubs, or, with `sample.stubs` off or with words in the query, by the weight of those
    that were kept. `-o json` has no such line.
    """
    await _list(parse(" ".join(query), now=time.time()), limit, form, totals=True)


async def search(
    *text: Annotated[
        str, Parameter(required=True, help="Words that must all occur; quote several to find them in a row.")
    ],
    limit: Limit = 20,
    form: Form = "table",
) -> None:
    """List the runs in whose names, inputs, outputs and messages the text occurs."""
    quoted = ('"' + part.replace("\\", r"\\").replace('"', r"\"") + '"' for part in text)
    await _list(parse(" ".join(quoted), now=time.time()), limit, form)


async def _list(query: Query, limit: int, form: str, *, totals: bool = False) -> None:
    config = load()
    async with current_store(config) as store:
        page = await store.search(msgspec.structs.replace(query, limit=limit))
        total = await _total(config, store, query, page) if totals and form == "table" and page.runs else ""
    if form == "json":
        for summary in page.runs:
            write_json(msgspec.json.encode(summary))
        return
    if page.runs:
        stdout().print(table(page.runs, now=time.time()))
    if total:
        stdout().print(total, soft_wrap=True)
    _say_what_next(page, query, limit)


async def _total(config: Config, store: Store, query: Query, first: Page) -> str:
    """The line of totals of all that match; `first` is a page of them that was read already."""
    sums = Totals(by_weight=not config.sample.stubs or bool(query.words or query.phrases))
    page, counted = first, 0
    if first.next is not None and len(first.runs) < MAX_PAGE:
        page = await store.search(msgspec.structs.replace(query, limit=MAX_PAGE))
    while True:
        sums.add(page.runs)
        counted += len(page.runs)
        if page.next is None:
            return sums.line()
        if counted >= _MOST_IN_TOTAL:
            return f"{sums.line()} (of the newest {counted:,} runs that match)"
        page = await store.search(msgspec.structs.replace(query, limit=MAX_PAGE, after=page.next))


def _say_what_next(page: Page, query: Query, limit: int) -> None:
    if not page.runs:
        say("no runs yet; try `tailrace demo`" if query == Query() else "no run matches; `tailrace runs` lists all")
    elif page.next is not None:
        say(f"more runs match than these {limit}; --limit {limit * 5} shows more")


def table(found: list[Summary], now: float) -> Table:
    """Runs as people read them, a line each."""
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("run", "workflow", "status", "started"):
        shown.add_column(name, no_wrap=True)
    for name in ("duration", "agents", "actions", "errors"):
        shown.add_column(name, no_wrap=True, justify="right")
    used = any(summary.tokens or summary.cost_usd for summary in found)
    if used:
        shown.add_column("tokens", no_wrap=True, justify="right")
        shown.add_column("cost", no_wrap=True, justify="right")
    for summary in found:
        shown.add_row(*_cells(summary, now), *(_usage(summary) if used else ()))
    return shown


def _cells(summary: Summary, now: float) -> list[Text]:
    status = summary.final_status or summary.state
    errors = summary.counts.get("errors", 0)
    started = f"{wording.local_time(summary.start_time)}  {wording.age(summary.start_time, now)}"
    return [
        Text(wording.short_id(summary.run_id), "bold"),
        Text(wording.payload(summary.workflow_name, _NAME_WIDTH)),
        Text(wording.payload(status, _NAME_WIDTH) + " (stub)" * summary.stub, wording.status_style(status)),
        Text(started.rstrip()),
        Text(wording.between(summary.start_time, summary.end_time)),
        Text(str(len(summary.agents))),
        Text(str(summary.counts.get("actions", 0))),
        Text(str(errors), "red" if errors else ""),
    ]


def _usage(summary: Summary) -> list[Text]:
    tokens = summary.tokens.get("total", 0)
    return [
        Text(f"{tokens:,.0f}" if tokens else ""),
        Text(wording.dollars(summary.cost_usd) if summary.cost_usd else ""),
    ]
