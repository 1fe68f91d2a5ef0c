"""`tailrace restore`: runs that the sampler dropped, brought back from the events topics."""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import Annotated

from cyclopts import Parameter

from tailrace.cli.catch_up import catch_up, current_store
from tailrace.cli.escape import escape
from tailrace.cli.export import matching
from tailrace.cli.output import say, stdout
from tailrace.cli.wording import counted
from tailrace.config import Config, load
from tailrace.consumer import find_restore
from tailrace.errors import AmbiguousRunError, ConfigError
from tailrace.registry import open_bus
from tailrace.store import Store
from tailrace.store.grammar import parse

_ID_LENGTH = 32
_SHORTEST = 4


async def restore(
    *runs: Annotated[str, Parameter(help="Run ids; of those that left a stub, 4 or more characters are enough.")],
    query: Annotated[str | None, Parameter(help="Also all that match, as `tailrace runs` takes it.")] = None,
    dry_run: Annotated[bool, Parameter(negative=(), help="Name the runs, and restore none.")] = False,
) -> int:
    """Bring dropped runs back, whole, as long as the events topics hold them. Runs that were kept lose nothing by it.

    Fails if a run could not be restored, or not from its beginning.
    """
    if not runs and query is None:
        raise ConfigError("which runs? Name some, or give --query")
    config = load()
    wanted = await _wanted(config, runs, query)
    if wanted is None:
        return 1
    if dry_run or not wanted:
        for run_id in wanted:
            stdout().print(escape(run_id))
        if not wanted:
            say("no run matches; `tailrace runs` lists all")
        return 0
    async with aclosing(open_bus(config)) as bus:
        report = await find_restore()(config, bus, wanted)
    await catch_up(config)
    events = sum(report.restored.values())
    stdout().print(f"restored {counted(len(report.restored), 'run')} of {counted(events, 'event')}")
    for run_id in report.missing:
        say(f"{run_id}: no event of it is on the bus; retention has passed, or the id is wrong")
    for run_id in report.incomplete:
        say(f"{run_id}: restored without its beginning, which retention has removed")
    return 1 if report.missing or report.incomplete else 0


async def _wanted(config: Config, runs: tuple[str, ...], query: str | None) -> list[str] | None:
    """The full ids, each once; None, and why on stderr, where one is not known."""
    async with current_store(config) as store:
        found = [await _full(store, run) for run in runs]
        if query is not None:
            found += [summary.run_id async for summary in matching(store, parse(query, now=time.time()))]
    known = [run_id for run_id in dict.fromkeys(found) if run_id is not None]
    return known if None not in found else None


async def _full(store: Store, given: str) -> str | None:
    """A whole id as it is, for a dropped run need not have left a stub."""
    if len(given) == _ID_LENGTH:
        return given
    candidates = await store.find(given) if len(given) >= _SHORTEST else []
    if len(candidates) > 1:
        raise AmbiguousRunError(given, candidates)
    if not candidates:
        say(f"no run begins or ends with {given!r}; of a run without a stub give the whole id")
    return candidates[0] if candidates else None
