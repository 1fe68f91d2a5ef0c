"""The sample stage: reads every event, passes on those of the runs that are kept, byte for byte.

A run that its id and workflow decide on is passed on as it comes, without state. The others wait in memory until they
are decided, and hold back the commit of their first record, so that after a crash they are decided again by the same
events. As soon as it is sure that a run is kept it is passed on; only the policy may then still be open.

The events topic is the stage's disk. Whatever it does not hold any more (the records of a run that was dropped or that
memory had no room for, the past of a run that began before the last restart) is wished for as a `Recall`, which the
sink reads from the topic.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping, Sequence

from tailrace.bus import Partition, Received, Record
from tailrace.bus.topics import Topics
from tailrace.errors import DecodeError
from tailrace.event import types
from tailrace.sampling import SampleSettings
from tailrace_consumers.dead_letters import DeadLetter
from tailrace_consumers.sample.facts import Facts, Glance, glance
from tailrace_consumers.sample.memory import Memory
from tailrace_consumers.sample.policies import Decision, Fate, Policies
from tailrace_consumers.sample.telling import mark, sampled_of, stub
from tailrace_consumers.sample.waiting import RUN_OVERHEAD, Recall, Waiting

Output = list[Record | Recall | DeadLetter]

_ENDS = frozenset({types.RUN_END, types.PRODUCER_LOST})
_LOOK_EVERY = 0.25
_RECALL_EVERY = 2.0
"""Recalls are collected for so long, because one read serves all of them."""
_LONGEST_HOLD = 900.0
"""A run that goes on for longer holds back no commit: after a crash it is read from its start instead."""
_REMEMBERED = 5_000
"""Decided runs of a partition whose facts are kept for late records."""
_MARKED = 50_000
"""Runs of a partition that are known to be decided by their id."""


class _Home:
    """What is known of one partition's runs. A revoked partition takes it along whole."""

    def __init__(self, partition: Partition, sampled: str) -> None:
        self.partition = partition
        self.topic, self.number = partition
        self.sampled = sampled
        self.runs: OrderedDict[str, Waiting] = OrderedDict()
        """Longest silent first."""
        self.ended: dict[str, Waiting] = {}
        """Those of them that have ended, in the order of their ends."""
        self.holding: dict[str, Waiting] = {}
        """Those of them that hold back the commit, lowest offset first."""
        self.decided: Memory[Waiting] = Memory(_REMEMBERED)
        self.by_id: Memory[_ById] = Memory(_MARKED)

    def forget(self, run_id: str) -> None:
        del self.runs[run_id]
        self.ended.pop(run_id, None)
        self.holding.pop(run_id, None)


class _ById:
    """A run that needs no state."""

    __slots__ = ("passes",)

    def __init__(self, *, passes: bool) -> None:
        self.passes = passes


_PASSES, _IGNORED = _ById(passes=True), _ById(passes=False)


class SampleStage:
    """Whole runs in, whole runs out or nothing. Not thread-safe. It never raises: what it cannot use is a dead letter.

    Beyond `max_held_bytes` the records of the runs that have waited longest are let go (they are recalled if they are
    to be kept), and where that is not enough the runs that are silent longest are decided at once.
    """

    def __init__(self, topics: Topics, settings: SampleSettings) -> None:
        """Raises ConfigError where a policy's own function cannot be found."""
        self._topics = topics
        self._settings = settings
        self._policies = Policies(settings)
        self._looks_at = self._policies.looks_at
        self._keeps_all = self._policies.keeps_all and not settings.dry_run
        self._homes: dict[Partition, _Home] = {}
        self._holding: dict[Waiting, None] = {}
        """Runs whose records are held, of all partitions, oldest first."""
        self._held_bytes = 0
        self._counts: Counter[str] = Counter()
        self._looked_at = self._recalled_at = float("-inf")

    def feed(self, records: Sequence[Received], now: float) -> Output:
        out: Output = []
        home: _Home | None = None
        for record in records:
            try:
                event = glance(record.value)
                if home is None or record.partition != home.number or record.topic != home.topic:
                    home = self._home(record.source)
                if self._keeps_all:
                    out.append(Record(home.sampled, record.key, record.value, record.headers))
                else:
                    self._take(home, record, event, now, out)
            except DecodeError as error:
                out.append(DeadLetter.unreadable(record, str(error)))
            except Exception as error:  # noqa: BLE001 - to feed a batch again would tell some decisions only once
                out.append(DeadLetter.unreadable(record, repr(error)))
        if self._held_bytes > self._settings.max_held_bytes:
            self._make_room(now, out)
        return out

    def tick(self, now: float) -> Output:
        out: Output = []
        if self._looked_at <= now < self._looked_at + _LOOK_EVERY:
            return out
        self._looked_at = now
        recall = not self._recalled_at <= now < self._recalled_at + _RECALL_EVERY
        if recall:
            self._recalled_at = now
        for home in self._homes.values():
            for run_id, run in self._due(home, now):
                self._settle(home, run_id, run, now, out, recall=recall)
            if recall:
                self._recall_kept(home, out)
                self._let_commit(home, now)
        return out

    def finish(self, now: float, *, caught_up: bool) -> Output:
        out: Output = []
        for home in self._homes.values():
            for run_id, run in list(home.runs.items()) if caught_up else ():
                if run.is_due_by_bus(now, self._settings):
                    self._settle(home, run_id, run, now, out, recall=True)
            self._recall_kept(home, out)
        return out

    def held(self) -> Mapping[Partition, int]:
        first = ((home.partition, next(iter(home.holding.values()), None)) for home in self._homes.values())
        return {partition: run.first_offset for partition, run in first if run is not None}

    def forget(self, partitions: Collection[Partition]) -> None:
        for home in filter(None, (self._homes.pop(partition, None) for partition in partitions)):
            for run in home.runs.values():
                self._let_go(run)

    def counts(self) -> Mapping[str, int]:
        """Decisions by reason since the start (a run that is decided again counts again), and what is held."""
        waiting = {"undecided": sum(len(home.runs) for home in self._homes.values()), "held_bytes": self._held_bytes}
        failures = {f"failed_{name}": count for name, count in self._policies.failures.items()}
        return {**self._counts, **failures, **waiting}

    def _home(self, partition: Partition) -> _Home:
        home = self._homes.get(partition)
        if home is None:
            home = self._homes[partition] = _Home(partition, self._topics.sampled_of(partition.topic))
        return home

    def _take(self, home: _Home, record: Received, event: Glance, now: float, out: Output) -> None:
        run_id = event.run
        run = home.runs.get(run_id)
        is_new = run is None
        if run is None:
            by_id = home.by_id.get(run_id) or self._judge_by_id(home, event, out)
            if by_id is not None:
                if by_id.passes:
                    out.append(Record(home.sampled, record.key, record.value, record.headers))
                return
            run = self._open(home, record, event, now)
        else:
            home.runs.move_to_end(run_id)
        changed = run.facts.hear(event, len(record.value))
        self._held_bytes += run.hear(record, now, home.sampled)
        if run.ended is None and event.type in _ENDS:
            run.end(record, now)
            home.ended[run_id] = run
        if run.passing:
            out.append(Record(home.sampled, record.key, record.value, record.headers))
        if (is_new or changed & self._looks_at) and run.decision is None:
            self._look(home, run, out)

    def _judge_by_id(self, home: _Home, event: Glance, out: Output) -> _ById | None:
        """Decide on a run by its id and workflow, where they are enough and no stub needs what it says."""
        if event.run in home.decided:
            return None
        outlook = self._policies.outlook(Facts(event.run, event.workflow))
        decision = outlook.decision
        passes = self._settings.dry_run or outlook.fate is Fate.KEPT
        if not outlook.sure or decision is None or not (passes or not self._settings.stubs):
            return None
        self._count(decision)
        if passes:
            sampled = sampled_of(decision, dry_run=self._settings.dry_run)
            out.append(mark(home.sampled, event.run, event.workflow, sampled))
        by_id = _PASSES if passes else _IGNORED
        home.by_id.put(event.run, by_id)
        return by_id

    def _open(self, home: _Home, record: Received, event: Glance, now: float) -> Waiting:
        run = home.decided.pop(event.run)
        if run is None:
            facts = Facts(event.run, event.workflow)
            run = Waiting(facts, record.offset, now, whole=event.type == types.RUN_START)
            if self._settings.dry_run:
                run.passing, run.records = True, None
        else:
            run.resume(record, now)
            if run.ended is not None:
                run.end(record, now)
                home.ended[event.run] = run
        home.runs[event.run] = home.holding[event.run] = run
        if run.records is not None:
            self._holding[run] = None
        self._held_bytes += run.size
        return run

    def _look(self, home: _Home, run: Waiting, out: Output) -> None:
        """Act on what has become sure of a run."""
        outlook = self._policies.outlook(run.facts)
        if outlook.sure:
            run.decision = outlook.decision
        if outlook.fate is Fate.KEPT and not run.passing:
            run.passing = True
            if run.complete:
                self._tell(home, run, outlook.decision, out)
                out += run.records or ()
            else:
                run.to_recall = True
            self._let_go(run, keep=True)
        elif outlook.fate is Fate.DROPPED and run.records is not None:
            run.complete = False
            self._let_go(run, keep=True)
        if run.passing and (outlook.sure or not self._settings.dry_run):
            self._tell(home, run, outlook.decision, out)

    def _settle(self, home: _Home, run_id: str, run: Waiting, now: float, out: Output, *, recall: bool) -> None:
        """Decide on a run; one of which something is missing is put off until it may be recalled."""
        if not run.whole or run.to_recall:
            if recall:
                out.append(Recall(home.partition, run_id, run.last_offset, run.told if run.whole else None))
                self._counts["recalled"] += 1
                run.to_recall = False
                if not run.whole:
                    home.forget(run_id)
                    self._let_go(run)
            if not run.whole or run.to_recall:
                return
        decision = run.decision = run.decision or self._policies.decide(run.facts, now, run.before)
        if run.passing:
            self._tell(home, run, decision, out)
        elif decision.keep and run.complete:
            self._tell(home, run, decision, out)
            out += run.records or ()
        elif decision.keep:
            run.passing = run.to_recall = True
            self._tell(home, run, decision, out)
            self._settle(home, run_id, run, now, out, recall=recall)
            return
        elif self._settings.stubs:
            out.append(stub(self._topics.documents, run.facts, decision))
        self._count(decision)
        home.forget(run_id)
        self._let_go(run)
        home.decided.put(run_id, run)

    def _recall_kept(self, home: _Home, out: Output) -> None:
        for run_id, run in home.runs.items():
            if run.to_recall:
                run.to_recall = False
                self._counts["recalled"] += 1
                out.append(Recall(home.partition, run_id, run.last_offset, run.told))

    def _due(self, home: _Home, now: float) -> list[tuple[str, Waiting]]:
        due: dict[str, Waiting] = {}
        for runs, seconds in ((home.ended, self._settings.grace), (home.runs, self._settings.decision_wait)):
            for run_id, run in runs.items():
                since = run.heard if run.ended is None or runs is home.runs else run.ended
                if now < since + seconds:
                    break
                due[run_id] = run
        return list(due.items())

    def _let_commit(self, home: _Home, now: float) -> None:
        for run_id, run in list(home.holding.items()):
            if run.to_recall or now < run.since + _LONGEST_HOLD:
                break
            del home.holding[run_id]

    def _make_room(self, now: float, out: Output) -> None:
        """Within memory's bound again: first records go, which the bus still has, then whole runs are decided early."""
        while self._holding and self._held_bytes > self._settings.max_held_bytes:
            run = next(iter(self._holding))
            run.complete = False
            self._let_go(run, keep=True)
            self._counts["spilled"] += 1
        for home in self._homes.values():
            for run_id, run in list(home.runs.items()):
                if self._held_bytes <= self._settings.max_held_bytes:
                    return
                self._settle(home, run_id, run, now, out, recall=True)
                self._counts["decided_early"] += 1

    def _tell(self, home: _Home, run: Waiting, decision: Decision | None, out: Output) -> None:
        if decision is None:  # not even which policies are possible
            return
        sampled = sampled_of(decision, dry_run=self._settings.dry_run)
        if sampled != run.told:
            run.told = sampled
            out.append(mark(home.sampled, run.facts.run, run.facts.workflow, sampled))

    def _let_go(self, run: Waiting, *, keep: bool = False) -> None:
        """Give back what a run takes of memory: its records, and unless it is kept, itself."""
        self._holding.pop(run, None)
        self._held_bytes -= run.release() + (0 if keep else RUN_OVERHEAD)

    def _count(self, decision: Decision) -> None:
        self._counts[f"{'kept' if decision.keep else 'dropped'}_by_{decision.reason}"] += 1
