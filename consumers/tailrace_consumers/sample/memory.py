"""What is remembered of decided runs for their late records: bounded, and what is forgotten is read from the bus."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class Memory(Generic[T]):
    """The last `limit` runs, the least recently used forgotten first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: OrderedDict[str, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, run: str) -> bool:
        return run in self._known

    def get(self, run: str) -> T | None:
        found = self._known.get(run)
        if found is not None:
            self._known.move_to_end(run)
        return found

    def put(self, run: str, what: T) -> None:
        self._known[run] = what
        self._known.move_to_end(run)
        if len(self._known) > self._limit:
            self._known.popitem(last=False)

    def pop(self, run: str) -> T | None:
        return self._known.pop(run, None)
