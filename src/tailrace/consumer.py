"""What a consumer is to the command line: the object behind an entry point of the group `tailrace.consumers`."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Literal, Protocol

import msgspec

from tailrace.config import Config
from tailrace.errors import ConfigError

GROUP = "tailrace.consumers"


class Progress(msgspec.Struct):
    """What a consumer has done since it started."""

    stage: str
    received: int = 0
    written: int = 0
    """Records or documents written."""
    dead: int = 0
    """Records sent to `<prefix>.dead`."""
    retries: int = 0
    rebalances: int = 0
    """How often partitions were taken away from it."""
    lag: int | None = None
    """Records not yet committed; None where not known."""
    counts: dict[str, int] = {}
    """What the stage itself counts or holds, by name."""
    note: str = ""
    """Why it waits, in one line; empty while it runs."""


class Consumer(Protocol):
    """Runs one stage, or several, until cancelled (SIGTERM) or caught up."""

    async def __call__(
        self,
        config: Config,
        *,
        until: Literal["cancelled", "caught_up"] = "cancelled",
        report: Callable[[Progress], None] | None = None,
    ) -> list[Progress]:
        """Returns the final progress of each stage. `report` is called about once a second and on each change of note.

        With `until="caught_up"` it reads to the end, writes and commits what it has, and returns; a stage that another
        process runs on the same bus is left to that process, whose committing of the backlog is awaited for a few
        seconds.

        Raises:
            TailraceError: it cannot go on (a wrong setting, too many dead letters); what may pass is retried.
        """
        ...


def find_consumer(name: str) -> Consumer:
    """The consumer of that name.

    Raises:
        ConfigError: there is none; names those that are installed.
    """
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        raise ConfigError(f"no consumer is named {name!r}; installed: {', '.join(sorted(points)) or 'none'}")
    consumer: Consumer = points[name].load()
    return consumer
