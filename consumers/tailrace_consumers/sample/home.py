"""What the sample stage knows of one partition: a batch's records by key, and the runs that they are of."""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Iterable

from tailrace.bus import Partition, Received
from tailrace_consumers.sample.memory import Memory
from tailrace_consumers.sample.waiting import Waiting

_LONGEST_HOLD = 900.0
"""A run that goes on for longer holds back no commit: after a crash it is read from its start instead."""
_REMEMBERED = 5_000
"""Decided runs of a partition whose facts are kept for late records."""
_MARKED = 50_000
"""Runs of a partition that are known to be decided by their id."""


class ById(enum.Enum):
    """What becomes of a run that needs no state."""

    PASSES = enum.auto()
    IS_IGNORED = enum.auto()


class Home:
    """One partition's runs. A revoked partition takes it along whole."""

    def __init__(self, partition: Partition, sampled: str) -> None:
        self.partition = partition
        self.sampled = sampled
        self.runs: OrderedDict[str, Waiting] = OrderedDict()
        """Longest silent first."""
        self.ended: dict[str, Waiting] = {}
        """Those of them that have ended, in the order of their ends."""
        self.decided: Memory[Waiting] = Memory(_REMEMBERED)
        self.by_id: Memory[ById] = Memory(_MARKED)
        self._holding: dict[str, Waiting] = {}
        """Those of `runs` that hold back the commit, but for those of one batch in the order of their first records."""
        self._is_sorted = True
        self._greatest = -1
        """Of all the first offsets so far."""

    def hold(self, run_id: str, run: Waiting) -> None:
        """From the record on with which the run began, or came back."""
        self.runs[run_id] = self._holding[run_id] = run
        if run.first_offset < self._greatest:
            self._is_sorted = False
        else:
            self._greatest = run.first_offset

    def first_held(self) -> int | None:
        """The lowest offset that must not be committed past."""
        if not self._is_sorted:
            self._holding = dict(sorted(self._holding.items(), key=lambda each: each[1].first_offset))
            self._is_sorted = True
        first = next(iter(self._holding.values()), None)
        return first.first_offset if first is not None else None

    def let_commit(self, now: float) -> None:
        """Have runs that go on for long hold back no commit."""
        for run_id, run in list(self._holding.items()):
            if run.to_recall or now < run.since + _LONGEST_HOLD:
                break
            del self._holding[run_id]

    def forget(self, run_id: str) -> None:
        del self.runs[run_id]
        self.ended.pop(run_id, None)
        self._holding.pop(run_id, None)


def by_key(records: Iterable[Received]) -> dict[Partition, dict[bytes, list[Received]]]:
    """With many runs open a batch has a little of each; what is done once for all of it is done here less often."""
    found: dict[Partition, dict[bytes, list[Received]]] = {}
    keys: dict[bytes, list[Received]] = {}
    topic, number = "", -1
    for record in records:
        if record.partition != number or record.topic != topic:
            topic, number = record.topic, record.partition
            keys = found.setdefault(record.source, {})
        together = keys.get(record.key)
        if together is None:
            keys[record.key] = [record]
        else:
            together.append(record)
    return found
