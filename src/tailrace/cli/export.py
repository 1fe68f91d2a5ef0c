"""`tailrace export`: documents as JSON lines."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from cyclopts import Parameter

from tailrace.cli.catch_up import current_store
from tailrace.cli.output import write_json
from tailrace.config import load
from tailrace.document import Summary
from tailrace.document.view import render
from tailrace.errors import LongRunError
from tailrace.store import Query, Store
from tailrace.store.grammar import parse
from tailrace.store.reading import read_pages

_PAGE = 200


async def export(
    *query: Annotated[str, Parameter(help="As `tailrace runs` takes it; default: all runs.")],
) -> None:
    """Write whole documents to stdout, one a line, newest run first: `tailrace export since:1d > runs.jsonl`.

    A run that is kept in pages takes several lines: its header, then its pages.
    """
    wanted = parse(" ".join(query), now=time.time())
    async with current_store(load()) as store:
        async for summary in matching(store, wanted):
            await _write(store, summary.run_id)


async def _write(store: Store, run_id: str) -> None:
    try:
        document = await store.get(run_id)
        if document is not None:  # else it was removed meanwhile
            write_json(render(document))
    except LongRunError as error:
        write_json(error.header)
        async for page in read_pages(store, run_id, error.header):
            write_json(render(page))


async def matching(store: Store, query: Query) -> AsyncIterator[Summary]:
    """All runs that match, page by page."""
    after: str | None = None
    while True:
        page = await store.search(msgspec.structs.replace(query, limit=_PAGE, after=after))
        for summary in page.runs:
            yield summary
        after = page.next
        if after is None:
            return
