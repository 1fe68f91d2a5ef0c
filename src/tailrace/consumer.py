"""What consumers are to the command line: the objects behind entry points of the group `tailrace.consumers`, and of
`tailrace.operations`, whose commands do a consumer's work once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from tailrace.bus import Bus, Start
from tailrace.config import Config
from tailrace.errors import ConfigError
from tailrace.sampling import SampleSettings

GROUP = "tailrace.consumers"
OPERATIONS = "tailrace.operations"

_LOOPBACK = "127.0.0.1"
_LAST_PORT = 65535


class Address(NamedTuple):
    """Where a consumer serves its metrics."""

    host: str
    port: int
    """0: any that is free."""

    @classmethod
    def of(cls, config: Config) -> Address | None:
        """`consume.metrics`; None where it is not set.

        Raises:
            ConfigError: there is no such port.
        """
        if config.consume.metrics is None:
            return None
        host, _, port = str(config.consume.metrics).rpartition(":")
        return cls(host.strip("[]") or _LOOPBACK, _port(int(port)))

    def plus(self, number: int) -> Address:
        """That many ports further; any free one stays that.

        Raises:
            ConfigError: there is no such port.
        """
        return self._replace(port=_port(self.port + number) if self.port else 0)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _port(number: int) -> int:
    if number > _LAST_PORT:
        raise ConfigError(f"consume.metrics asks for port {number}; the last is {_LAST_PORT}")
    return number


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
    consumer: Consumer = _load(GROUP, "consumer", name)
    return consumer


class Rebuild(Protocol):
    """Fills `config.store_url` from the documents on `config.bus_url`; the entry point `rebuild`."""

    async def __call__(
        self, config: Config, *, since: Start = "earliest", report: Callable[[Progress], None] | None = None
    ) -> Progress:
        """Returns when all that is there is joined into the store; `dead` counts what could not be.

        Raises:
            TailraceError: it cannot go on; what may pass is retried. Doing it again is the way to go on.
        """
        ...


class RestoreReport(Protocol):
    """What a restore did."""

    @property
    def restored(self) -> Mapping[str, int]:
        """Run id -> its events that were found."""

    @property
    def missing(self) -> Sequence[str]:
        """Runs of which the bus has no event."""

    @property
    def incomplete(self) -> Sequence[str]:
        """Runs of which the bus no longer has the beginning."""


class Restore(Protocol):
    """Passes on what the events topics have of runs that the sampler dropped; the entry point `restore`."""

    async def __call__(self, config: Config, bus: Bus, run_ids: Sequence[str]) -> RestoreReport:
        """Returns when what was found is on the bus for the other consumers.

        Raises:
            BusError: some may be restored; doing it again is the way to go on.
        """
        ...


class Replay(Protocol):
    """Decides on the runs of the events topics as other settings would; the entry point `replay`."""

    async def __call__(self, config: Config, bus: Bus, settings: SampleSettings, since: Start) -> Any:
        """Returns when all that is there is read: `shares` by policy and verdict, runs `earlier`, records `unreadable`.

        Raises:
            BusError: the bus cannot be read.
            ConfigError: a policy's own function cannot be found.
        """
        ...


def find_rebuild() -> Rebuild:
    """Raises `ConfigError` where no consumers are installed."""
    rebuild: Rebuild = _load(OPERATIONS, "operation", "rebuild")
    return rebuild


def find_restore() -> Restore:
    """Raises `ConfigError` where no sampler is installed that can."""
    restore: Restore = _load(OPERATIONS, "operation", "restore")
    return restore


def find_replay() -> Replay:
    """Raises `ConfigError` where no sampler is installed that can."""
    replay: Replay = _load(OPERATIONS, "operation", "replay")
    return replay


def _load(group: str, kind: str, name: str) -> Any:
    points = {point.name: point for point in entry_points(group=group)}
    if name not in points:
        raise ConfigError(f"no {kind} is named {name!r}; installed: {', '.join(sorted(points)) or 'none'}")
    try:
        return points[name].load()
    except ImportError as error:
        raise ConfigError(f"{kind} {name!r} is installed and cannot be loaded: {error}") from error
