"""`tailrace show`: one run as a tree or as its document; a long run as its header and page by page."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import Parameter
from rich.table import Table

from tailrace.cli import wording
from tailrace.cli.catch_up import current_store
from tailrace.cli.output import say, stdout, write_json
from tailrace.cli.tree import tree
from tailrace.config import load
from tailrace.document import Document
from tailrace.document.pages import PageInfo, contents
from tailrace.document.view import render
from tailrace.errors import AmbiguousRunError, LongRunError
from tailrace.store import Store
from tailrace.store.reading import read_page, read_pages

_SHORTEST = 4
_OF_THE_RUN = ("state", "final_status", "start_time", "end_time", "session", "tags", "integrity", "sampling")

Form = Annotated[
    Literal["tree", "json"],
    Parameter(
        name=("--output", "-o"),
        help="json: the document as stored; of a long run a line with its header, then one with each page's document.",
    ),
]
Number = Annotated[int | None, Parameter(name=("--page", "-p"), help="Of a long run: this page, from 1.")]


async def show(
    run: Annotated[str, Parameter(help="Run id, or at least 4 characters of its begin or end.")],
    *,
    form: Form = "tree",
    page: Number = None,
) -> int:
    """Show one run: its iterations, interactions, actions, resources, errors and log lines.

    A long run is kept in pages: without --page its totals and the list of its pages are shown.
    """
    async with current_store(load()) as store:
        try:
            document = await find(store, run)
        except LongRunError as error:
            return await _show_long(store, error.header, form, page)
    if document is None:
        return 1
    if page not in (None, 1):
        return _no_page(page, 1)
    _write(render(document), form)
    return 0


async def find(store: Store, given: str) -> Document | None:
    """The one run that `given` names; None, and a line on stderr with what to try, when there is none.

    Raises:
        AmbiguousRunError: `given` begins or ends more than one run id.
        LongRunError: the run is kept in pages.
    """
    document = await store.get(given)
    if document is not None:
        return document
    candidates = await store.find(given) if len(given) >= _SHORTEST else []
    if len(candidates) > 1:
        raise AmbiguousRunError(given, candidates)
    if candidates:
        return await store.get(candidates[0])
    short = f" (give at least {_SHORTEST} characters)" if len(given) < _SHORTEST else ""
    say(f"no run begins or ends with {given!r}{short}; `tailrace runs` lists them")
    return None


async def _show_long(store: Store, header: bytes, form: Form, number: int | None) -> int:
    run = msgspec.json.decode(header)
    run_id, pages = run["run_id"], contents(header)
    if number is not None and not 1 <= number <= len(pages):
        return _no_page(number, len(pages))
    if number is not None:
        async for document in read_page(store, run_id, pages[number - 1].id):
            _write(render(document), form, of=run)
    elif form == "json":
        _write(header, form)
        async for document in read_pages(store, run_id, header):
            _write(render(document), form)
    else:
        _write(header, form)
        _list(pages)
        short = wording.short_id(run_id)
        say(f"a long run: `tailrace show {short} --page 1` to {len(pages)} show it, `-o json` writes all of it")
    return 0


def _write(body: bytes, form: Form, of: dict[str, Any] | None = None) -> None:
    """A document, or a page `of` a run whose state and integrity are known from elsewhere."""
    if form == "json":
        write_json(body, pretty=True)
        return
    element = msgspec.json.decode(body)
    if of is not None:
        element |= {name: of[name] for name in _OF_THE_RUN if name in of}
    stdout().print(tree(element, now=time.time()))


def _list(pages: list[PageInfo]) -> None:
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("page", "events", "from", "took"):
        shown.add_column(name, no_wrap=True, justify="right" if name in ("page", "events") else "left")
    for number, page in enumerate(pages, 1):
        took = wording.between(page.first, page.last)
        shown.add_row(str(number), f"{page.events:,}", wording.local_time(page.first), took)
    stdout().print(shown)


def _no_page(number: int | None, pages: int) -> int:
    say(f"the run has no page {number}; it has {wording.counted(pages, 'page')}")
    return 1
