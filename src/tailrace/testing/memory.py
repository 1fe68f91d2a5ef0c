"""A bus and a store in memory, with the consumers between them run on demand."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from tailrace.bus import Bus, Received
from tailrace.config import Config, load
from tailrace.consumer import find_consumer
from tailrace.document.view import render
from tailrace.registry import open_bus, open_store
from tailrace.store import Query, Store
from tailrace.store.reading import read_whole

_numbers = itertools.count(1)


class InMemory:
    """What `in_memory` gives. On asyncio; not thread-safe."""

    def __init__(self, config: Config, bus: Bus, store: Store) -> None:
        self.config = config
        self.bus = bus
        """As every bus: `publish`, `subscribe`, `topics`."""
        self.store = store
        """As every store: `merge`, `get`, `search`."""

    @property
    def settings(self) -> dict[str, Any]:
        """For `configure_logger(**memory.settings)`."""
        return {name: getattr(self.config, name) for name in ("bus", "store", "home", "publish")}

    async def records(self, *topics: str) -> list[Received]:
        """What the topics hold now, e.g. `tailrace.events.*`; sampled and documents only after `catch_up`."""
        found: list[Received] = []
        async with self.bus.subscribe(*topics) as subscription:
            while batch := (await subscription.receive(wait=0)).records:
                found += batch
        return found

    async def catch_up(self) -> None:
        """Sample, aggregate and index all that is on the bus."""
        await find_consumer("all")(self.config, until="caught_up")

    async def documents(self) -> list[dict[str, Any]]:
        """The stored documents, as `tailrace show -o json` prints them, oldest run first; at most 500."""
        page = await self.store.search(Query(limit=500))
        stored = [await read_whole(self.store, summary.run_id) for summary in reversed(page.runs)]
        return [msgspec.json.decode(render(document)) for document in stored if document is not None]


@asynccontextmanager
async def in_memory(home: str | Path, **settings: Any) -> AsyncIterator[InMemory]:
    """A bus and a store of their own, in this process alone. `home`: a directory for the spool, which stays on disk.

        async with in_memory(tmp_path) as memory:
            log = tailrace.configure_logger(**memory.settings)
            answer("Where is order 17?")
            await log.flush("broker")
            await memory.catch_up()
            (document,) = await memory.documents()

    Raises:
        ConfigError: one of `settings`, which are those of `configure_logger`, is wrong.
    """
    name = f"testing-{next(_numbers)}"
    own = {"bus": f"memory:{name}", "store": f"memory:{name}", "home": str(home), "publish": "internal"}
    config = load({**settings, **own})
    async with aclosing(open_bus(config)) as bus, aclosing(open_store(config)) as store:
        yield InMemory(config, bus, store)
