"""What policies would have kept of the history that the events topics still have. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing

import msgspec

from tailrace.bus import Bus, Received, Start
from tailrace.bus.topics import Topics
from tailrace.config import Config
from tailrace.errors import DecodeError
from tailrace.event import types
from tailrace.sampling import SampleSettings
from tailrace_consumers.sample.facts import Facts, glance
from tailrace_consumers.sample.history import history
from tailrace_consumers.sample.policies import Decision, Policies


class Share(msgspec.Struct):
    """What one policy decided on, in one way."""

    policy: str
    kept: bool
    runs: int = 0
    events: int = 0
    bytes: int = 0
    """Of the runs' events as they stand on the bus."""
    tokens: float = 0
    cost_usd: float = 0.0
    weight: float = 0.0
    """The runs that these stand for where only kept ones are added up."""


class ReplayReport(msgspec.Struct):
    """Every run that began in the time replayed is in one of the shares."""

    shares: list[Share]
    earlier: int = 0
    """Runs that had begun before: they are left out."""
    unreadable: int = 0
    """Records that are no events."""


async def replay(config: Config, bus: Bus, settings: SampleSettings, since: Start) -> ReplayReport:
    """Read each events topic once, from `since` to the present end, and decide on its runs by these settings.

    Decisions are made in the time of the bus: limits count a run when it has ended and `grace` is over. A run counts
    with all it says, also later; what is still open, as it stands now. Memory holds what policies know of each run.

    Raises:
        BusError: the bus cannot be read.
        ConfigError: a policy's own function cannot be found.
    """
    decided = _Decided(settings)
    async with aclosing(history(bus, Topics(config.prefix).all_events, since)) as batches:
        async for records in batches:
            for record in records:
                decided.hear(record)
    return decided.report()


class _Decided:
    def __init__(self, settings: SampleSettings) -> None:
        self._policies = Policies(settings)
        self._grace = settings.grace
        self._runs: dict[str, Facts] = {}
        self._ended: dict[str, float] = {}
        """Run -> when the bus took its end, or where it has none, its last event."""
        self._earlier: set[str] = set()
        self._unreadable = 0

    def hear(self, record: Received) -> None:
        try:
            event = glance(record.value)
        except DecodeError:
            self._unreadable += 1
            return
        run = self._runs.get(event.run)
        if run is None:
            run = self._runs[event.run] = Facts(event.run, event.workflow)
            if event.type != types.RUN_START:
                self._earlier.add(event.run)
        run.hear(event, len(record.value))
        if run.ended_at is None or event.type == types.RUN_END:
            self._ended[event.run] = record.timestamp

    def report(self) -> ReplayReport:
        shares: dict[tuple[int, bool], Share] = {}
        for run, decision in self._decisions():
            key = (decision.policy, decision.keep)
            share = shares.setdefault(key, Share(decision.reason, decision.keep))
            share.runs += 1
            share.events += run.events
            share.bytes += run.bytes
            share.tokens += run.total_tokens
            share.cost_usd += run.cost
            share.weight += decision.weight
        return ReplayReport(
            [shares[key] for key in sorted(shares, key=lambda key: (key[0], not key[1]))],
            earlier=len(self._earlier),
            unreadable=self._unreadable,
        )

    def _decisions(self) -> Iterator[tuple[Facts, Decision]]:
        for run_id, ended in sorted(self._ended.items(), key=lambda item: (item[1], item[0])):
            if run_id not in self._earlier:
                run = self._runs[run_id]
                yield run, self._policies.decide(run, ended + self._grace)
