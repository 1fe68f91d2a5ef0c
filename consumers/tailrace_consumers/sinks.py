"""Where a stage's output goes: the bus or the store. A sink never gives up a batch for one bad item in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from tailrace.bus import Bus, Record
from tailrace.bus.bundle import Bundle, Bundled, bundled
from tailrace.errors import BusError, StoreError
from tailrace.store import Store
from tailrace_consumers.dead_letters import DeadLetter
from tailrace_consumers.stage import Merge

Item_contra = TypeVar("Item_contra", contravariant=True)


class Sink(Protocol[Item_contra]):
    """Takes a stage's output."""

    async def write(self, items: Sequence[Item_contra]) -> list[DeadLetter]:
        """Durable when it returns, but for the items that come back: those will never be taken.

        Raises:
            BusError, StoreError: retryable; any part may have been written, and writing the same again is the way
                to go on.
        """
        ...


class BusSink:
    """Publishes records; halves a refused batch until it has found the record that the bus refuses."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def write(self, items: Sequence[Record | Bundle]) -> list[DeadLetter]:
        return await self._publish(bundled(items))

    async def _publish(self, records: Bundled) -> list[DeadLetter]:
        try:
            await self._bus.publish(records)
        except BusError as error:
            if error.retryable:
                raise
            if len(records) == 1:
                return [DeadLetter.refused(records[0], str(error))]
            middle = len(records) // 2
            return await self._publish(records[:middle]) + await self._publish(records[middle:])
        return []


class StoreSink:
    """Merges documents, at most one a run in each call. One that is rejected comes back as the records it came from."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def write(self, items: Sequence[Merge]) -> list[DeadLetter]:
        try:
            rejected = await self._store.merge([item.document for item in items])
        except StoreError as error:
            if error.retryable:
                raise
            if len(items) == 1:
                return _letters(items[0], str(error))
            middle = len(items) // 2
            return await self.write(items[:middle]) + await self.write(items[middle:])
        reasons = {each.document.run_id: each.reason for each in rejected}
        refused = [(item, reasons[item.document.run_id]) for item in items if item.document.run_id in reasons]
        return [letter for item, reason in refused for letter in _letters(item, reason)]


def _letters(item: Merge, reason: str) -> list[DeadLetter]:
    return [DeadLetter.unreadable(source, reason) for source in item.sources]
