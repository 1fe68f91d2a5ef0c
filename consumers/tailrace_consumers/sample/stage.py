"""The sample stage: reads every event, passes on those of the runs that are kept, byte for byte.

A run that its id and workflow decide on is passed on as it comes, without state. The others wait in memory until they
are decided, and hold back the commit of their first record, so that after a crash they are decided again by the same
events. As soon as it is sure that a run is kept it is passed on; only the policy may then still be open.

The events topic is the stage's disk. Whatever it does not hold any more (the records of a run that was dropped or that
memory had no room for, the past of a run that began before the last restart) is wished for as a `Recall`, which the
sink reads from the topic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from tailrace.bus import Partition, Received, Record
from tailrace.bus.bundle import Bundle, extend
from tailrace.bus.topics import Topics
from tailrace.errors import DecodeError
from tailrace.event import types
from tailrace.sampling import SampleSettings
from tailrace_consumers.dead_letters import DeadLetter
from tailrace_consumers.sample.facts import Facts, Glance, glance
from tailrace_consumers.sample.home import ById, Home, by_key
from tailrace_consumers.sample.policies import Decision, Fate, Policies
from tailrace_consumers.sample.telling import mark, sampled_of, stub
from tailrace_consumers.sample.waiting import RUN_OVERHEAD, Recall, Waiting

Output = list[Record | Bundle | Recall | DeadLetter]

_LOOK_EVERY = 0.25
_RECALL_EVERY = 2.0
"""Recalls are collected for so long, because one read serves all of them."""


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
        self._homes: dict[Partition, Home] = {}
        self._holding: dict[Waiting, None] = {}
        """Runs whose records are held, of all partitions, oldest first."""
        self._held_bytes = 0
        self._counts: Counter[str] = Counter()
        self._looked_at = self._recalled_at = float("-inf")

    def feed(self, records: Sequence[Received], now: float) -> Output:
        out: Output = []
        for partition, keys in by_key(records).items():
            home = self._home(partition)
            for together in keys.values():
                # Whoever breaks the contract puts several runs under one key.
                for stray in self._try(home, together, now, out):
                    self._try(home, [stray], now, out)
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
                home.let_commit(now)
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
        first = {home.partition: home.first_held() for home in self._homes.values()}
        return {partition: offset for partition, offset in first.items() if offset is not None}

    def forget(self, partitions: Collection[Partition]) -> None:
        for home in filter(None, (self._homes.pop(partition, None) for partition in partitions)):
            for run in home.runs.values():
                self._let_go(run)

    def counts(self) -> Mapping[str, int]:
        """Decisions by reason since the start (a run that is decided again counts again), and what is held."""
        waiting = {"undecided": sum(len(home.runs) for home in self._homes.values()), "held_bytes": self._held_bytes}
        failures = {f"failed_{name}": count for name, count in self._policies.failures.items()}
        return {**self._counts, **failures, **waiting}

    def _home(self, partition: Partition) -> Home:
        home = self._homes.get(partition)
        if home is None:
            home = self._homes[partition] = Home(partition, self._topics.sampled_of(partition.topic))
        return home

    def _try(self, home: Home, records: Sequence[Received], now: float, out: Output) -> Sequence[Received]:
        """As `_take`; what it fails on comes back to be tried record by record, and one alone is a dead letter."""
        try:
            return self._take(home, records, now, out)
        except Exception as error:  # noqa: BLE001 - to feed a batch again would tell some decisions only once
            if len(records) > 1:
                return records
            out.append(DeadLetter.unreadable(records[0], repr(error)))
            return ()

    def _take(self, home: Home, records: Sequence[Received], now: float, out: Output) -> Sequence[Received]:
        """Take in what was heard of a run; the records that are of other runs than the first one come back."""
        run: Waiting | ById | None = None
        facts: Facts | None = None
        mine: list[Received] = []
        strays: list[Received] = []
        run_id, changed = "", 0
        for record in records:
            try:
                event = glance(record.value)
            except DecodeError as error:
                out.append(DeadLetter.unreadable(record, str(error)))
                continue
            if run is None:
                run, run_id = self._find(home, record, event, now, out), event.run
                facts = run.facts if isinstance(run, Waiting) else None
            elif event.run != run_id:
                strays.append(record)
                continue
            mine.append(record)
            if facts is not None:
                changed |= facts.hear(event, len(record.value))
        if isinstance(run, Waiting):
            self._note(home, run, mine, changed, now, out)
        elif run is ById.PASSES:
            _pass_on(mine, home.sampled, out)
        return strays

    def _find(self, home: Home, record: Received, event: Glance, now: float, out: Output) -> Waiting | ById:
        if self._keeps_all:
            return ById.PASSES
        run = home.runs.get(event.run)
        if run is not None:
            home.runs.move_to_end(event.run)
            return run
        return (
            home.by_id.get(event.run)
            or self._judge_by_id(home, event, out)
            or self._open(home, record, event, now, out)
        )

    def _note(
        self, home: Home, run: Waiting, records: Sequence[Received], changed: int, now: float, out: Output
    ) -> None:
        self._held_bytes += run.hear(records, now, home.sampled)
        if run.ended is None and run.facts.is_over:
            run.end(records[-1], now)
            home.ended[run.facts.run] = run
        if run.passing:
            _pass_on(records, home.sampled, out)
        if changed & self._looks_at and run.decision is None:
            self._look(home, run, out)

    def _judge_by_id(self, home: Home, event: Glance, out: Output) -> ById | None:
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
        by_id = ById.PASSES if passes else ById.IS_IGNORED
        home.by_id.put(event.run, by_id)
        return by_id

    def _open(self, home: Home, record: Received, event: Glance, now: float, out: Output) -> Waiting:
        run = home.decided.pop(event.run)
        if run is None:
            facts = Facts(event.run, event.workflow)
            run = Waiting(facts, record.offset, now, whole=event.type == types.RUN_START)
            if self._settings.dry_run:
                run.passing, run.bundles = True, None
        else:
            run.resume(record, now)
            if run.ended is not None:
                run.end(record, now)
                home.ended[event.run] = run
        home.hold(event.run, run)
        if run.bundles is not None:
            self._holding[run] = None
        self._held_bytes += run.size
        self._look(home, run, out)
        return run

    def _look(self, home: Home, run: Waiting, out: Output) -> None:
        """Act on what has become sure of a run."""
        outlook = self._policies.outlook(run.facts)
        if outlook.sure:
            run.decision = outlook.decision
        if outlook.fate is Fate.KEPT and not run.passing:
            run.passing = True
            if run.complete:
                self._tell(home, run, outlook.decision, out)
                out += run.bundles or ()
            else:
                run.to_recall = True
            self._let_go(run, keep=True)
        elif outlook.fate is Fate.DROPPED and run.bundles is not None:
            run.complete = False
            self._let_go(run, keep=True)
        if run.passing and (outlook.sure or not self._settings.dry_run):
            self._tell(home, run, outlook.decision, out)

    def _settle(self, home: Home, run_id: str, run: Waiting, now: float, out: Output, *, recall: bool) -> None:
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
            out += run.bundles or ()
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

    def _recall_kept(self, home: Home, out: Output) -> None:
        for run_id, run in home.runs.items():
            if run.to_recall:
                run.to_recall = False
                self._counts["recalled"] += 1
                out.append(Recall(home.partition, run_id, run.last_offset, run.told))

    def _due(self, home: Home, now: float) -> list[tuple[str, Waiting]]:
        due: dict[str, Waiting] = {}
        for runs, seconds in ((home.ended, self._settings.grace), (home.runs, self._settings.decision_wait)):
            for run_id, run in runs.items():
                since = run.heard if run.ended is None or runs is home.runs else run.ended
                if now < since + seconds:
                    break
                due[run_id] = run
        return list(due.items())

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

    def _tell(self, home: Home, run: Waiting, decision: Decision | None, out: Output) -> None:
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


def _pass_on(records: Iterable[Received], topic: str, out: Output) -> None:
    bundles: list[Bundle] = []
    extend(bundles, records, topic)
    out += bundles
