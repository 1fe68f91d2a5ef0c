"""Bringing the store up to date before it is read, where no consumer need run: on the SQLite bus.

Orphan spools are shipped, then the three stages run until caught up. One reader at a time does so; others wait.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from tailrace.cli.output import cause, say
from tailrace.config import Config
from tailrace.consumer import find_consumer
from tailrace.errors import TailraceError
from tailrace.registry import open_bus, open_store
from tailrace.spool.lock import Lock
from tailrace.sqlite import path_of
from tailrace.store import Store

_PATIENCE = 30.0
"""Seconds to wait for another reader that is catching up."""
_POLL = 0.05


class NothingRecordedError(TailraceError):
    """The files to read from do not exist: the wrong directory, or nothing was logged yet."""

    def __init__(self, config: Config) -> None:
        super().__init__(
            f"nothing is recorded in {config.home_path.absolute()}; try `tailrace demo`, "
            "or set TAILRACE_HOME to the directory that the program logs to"
        )


@asynccontextmanager
async def current_store(config: Config) -> AsyncIterator[Store]:
    """The store, brought up to date first where nothing else does it.

    Raises:
        NothingRecordedError: reading would create empty files.
    """
    await catch_up(config)
    async with aclosing(open_store(config)) as store:
        yield store


async def catch_up(config: Config) -> None:
    """Brings the store up to date on the SQLite bus; does nothing on others.

    What cannot be brought up to date is said on stderr: what is there can still be read.

    Raises:
        NothingRecordedError: there are no files at all.
    """
    if not _is_sqlite(config.bus_url):
        return
    if not any(path.exists() for path in _sources(config)):
        raise NothingRecordedError(config)
    try:
        async with _one_reader(config.home_path / "reading.lock"):
            await _ship(config)
            await find_consumer("all")(config, until="caught_up")
    except Exception as error:  # noqa: BLE001 - whatever fails here must not hide what is stored
        say(f"showing what is stored; not brought up to date: {cause(error)!s}")


async def _ship(config: Config) -> None:
    from tailrace.publish import ship  # noqa: PLC0415 - only this bus needs it

    async with aclosing(open_bus(config)) as bus:
        report = await ship(config, bus)
    for error in report.errors:
        say(f"a spool was not shipped: {error}")


def _is_sqlite(url: str) -> bool:
    return url.startswith("sqlite:")


def _sources(config: Config) -> Iterator[Path]:
    yield config.spool_path
    for url in (config.bus_url, config.store_url):
        if _is_sqlite(url):
            yield path_of(url)


@asynccontextmanager
async def _one_reader(path: Path) -> AsyncIterator[None]:
    lock = _lock(path)
    deadline = time.monotonic() + _PATIENCE
    while not lock.acquire():
        if time.monotonic() > deadline:
            raise TailraceError(f"another reader has held {path} for {_PATIENCE:.0f} s")
        await asyncio.sleep(_POLL)
    try:
        yield
    finally:
        lock.release()


def _lock(path: Path) -> Lock:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.open("ab").close()  # says what is wrong where the lock would only be refused
    return Lock(path)
