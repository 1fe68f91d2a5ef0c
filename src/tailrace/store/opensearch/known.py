"""Runs that were written a moment ago: who writes them again need not read them first."""

from __future__ import annotations

from collections import OrderedDict

from tailrace.store.opensearch.bulk import Present

_MAX_BYTES = 32 << 20
_MAX_LONG = 10_000


class Known:
    """The last written form of open runs, those written longest ago forgotten first. A guess, not the truth.

    Another writer may have come since; a conditional write then fails, and the run is read after all.
    """

    def __init__(self) -> None:
        self._runs: OrderedDict[str, Present] = OrderedDict()
        self._bytes = 0
        self._long: OrderedDict[str, None] = OrderedDict()

    def get(self, run_id: str) -> Present | None:
        return self._runs.get(run_id)

    def keep(self, run_id: str, present: Present) -> None:
        self.forget(run_id)
        self._runs[run_id] = present
        self._bytes += _size(present)
        while self._bytes > _MAX_BYTES:
            _, oldest = self._runs.popitem(last=False)
            self._bytes -= _size(oldest)

    def forget(self, run_id: str) -> None:
        present = self._runs.pop(run_id, None)
        if present is not None:
            self._bytes -= _size(present)

    def is_long(self, run_id: str) -> bool:
        """Whether it was kept in pages when it was last met."""
        return run_id in self._long

    def note_long(self, run_id: str) -> None:
        self.forget(run_id)
        self._long[run_id] = None
        if len(self._long) > _MAX_LONG:
            self._long.popitem(last=False)


def _size(present: Present) -> int:
    return len(present.source.body) if present.source else 0
