"""What was decided of runs not long ago, for their late records."""

from __future__ import annotations

import enum
from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping

from tailrace.bus import Partition
from tailrace_consumers.stage import RunKey

_MAX_RUNS = 100_000


class Decision(enum.Enum):
    """What became of a run; the value is its name in the counts."""

    KEPT_BY_RATE = "kept_by_rate"
    KEPT_BY_ERROR = "kept_by_error"
    DROPPED = "dropped"


class Decisions:
    """The last decisions, the least recently used forgotten first. A forgotten run is decided anew."""

    def __init__(self, max_runs: int = _MAX_RUNS) -> None:
        self._max_runs = max_runs
        self._known: OrderedDict[RunKey, Decision] = OrderedDict()
        self._counts: Counter[str] = Counter()

    def get(self, key: RunKey) -> Decision | None:
        decision = self._known.get(key)
        if decision is not None:
            self._known.move_to_end(key)
        return decision

    def put(self, key: RunKey, decision: Decision) -> None:
        before = self._known.get(key)
        self._known[key] = decision
        self._known.move_to_end(key)
        if before is not decision:
            self._counts[decision.value] += 1
            if before is not None:
                self._counts[before.value] -= 1
        if len(self._known) > self._max_runs:
            self._known.popitem(last=False)

    def forget(self, partitions: Collection[Partition]) -> None:
        for key in [key for key in self._known if key[0] in partitions]:
            del self._known[key]

    def counts(self) -> Mapping[str, int]:
        return dict(self._counts)
