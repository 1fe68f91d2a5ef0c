"""`tailrace show`: one run as a tree or as its document."""

from __future__ import annotations

import time
from typing import Annotated, Literal

import msgspec
from cyclopts import Parameter

from tailrace.cli.catch_up import current_store
from tailrace.cli.output import say, stdout, write_json
from tailrace.cli.tree import tree
from tailrace.config import load
from tailrace.document import Document
from tailrace.document.view import render
from tailrace.errors import AmbiguousRunError
from tailrace.store import Store

_SHORTEST = 4

Form = Annotated[Literal["tree", "json"], Parameter(name=("--output", "-o"), help="json: the document as stored.")]


async def show(
    run: Annotated[str, Parameter(help="Run id, or at least 4 characters of its begin or end.")],
    *,
    form: Form = "tree",
) -> int:
    """Show one run: its iterations, interactions, actions, resources, errors and log lines."""
    async with current_store(load()) as store:
        document = await find(store, run)
    if document is None:
        return 1
    if form == "json":
        write_json(render(document), pretty=True)
    else:
        stdout().print(tree(msgspec.json.decode(render(document)), now=time.time()))
    return 0


async def find(store: Store, given: str) -> Document | None:
    """The one run that `given` names; None, and a line on stderr with what to try, when there is none.

    Raises:
        AmbiguousRunError: `given` begins or ends more than one run id.
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
