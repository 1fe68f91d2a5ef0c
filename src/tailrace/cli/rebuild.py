"""`tailrace rebuild`: a store filled from the bus."""

from __future__ import annotations

from typing import Annotated

import msgspec
from cyclopts import Parameter

from tailrace.cli.catch_up import catch_up
from tailrace.cli.output import say, stdout
from tailrace.cli.progress import Board
from tailrace.cli.reading import start_of
from tailrace.cli.wording import counted
from tailrace.config import load
from tailrace.consumer import find_rebuild


async def rebuild(
    *,
    store: Annotated[str | None, Parameter(help="URL of the store to fill; default: the configured one.")] = None,
    since: Annotated[
        str | None,
        Parameter(help="Only what was written since: `2d` or a time; runs begun before come in part."),
    ] = None,
) -> int:
    """Join the documents on the bus into a store: a new one, or one that lost some. Consumers may go on meanwhile.

    What the documents' topic no longer holds (`topics.retention_hours`) cannot come back.
    """
    config, start = load(), start_of(since)
    await catch_up(config)
    target = config if store is None else msgspec.structs.replace(config, store=store)
    with Board() as board:
        progress = await find_rebuild()(target, since=start, report=board.show)
    stdout().print(f"joined {counted(progress.received, 'document')} into the store")
    if progress.dead:
        say(f"{counted(progress.dead, 'document')} could not be read or stored; the index stage put them aside")
    return 1 if progress.dead else 0
