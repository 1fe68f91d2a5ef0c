"""What a policy may know of a run: counted up from its events, of which only the few fields needed are decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tailrace.document.columns import added_up
from tailrace.document.intervals import Intervals
from tailrace.document.totals import add_tokens, is_number
from tailrace.errors import DecodeError
from tailrace.event import check, types
from tailrace.event.ids import parse_time

SUCCESS = frozenset({"completed", "success", "ok"})
_FAILURE = frozenset({"failed", "error"})
_LOUD = frozenset({"error", "critical"})
_UNNUMBERED = "\0"

NAMES, STATE = 1, 2
"""What an event may change of what conditions see before the end: the agents and actions named, or anything else."""
_TOKENS_AT_ONCE = 32
"""Added up together, which costs a third; until then each takes some 70 bytes."""


class _Data(msgspec.Struct, frozen=True, gc=False):
    """The values may be anything: each is looked at only where its event's type gives it a meaning."""

    level: Any = None
    status: Any = None
    final_status: Any = None
    error: Any = None
    tokens: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    cost: Any = None
    action_name: Any = None
    session: Any = None
    tags: Any = None


class Glance(msgspec.Struct, frozen=True, gc=False):
    """An event, as far as sampling looks at it. What it does not use is here to be checked: kept runs are events."""

    id: str
    seq: int
    pid: str
    run: str
    workflow: str
    type: str
    ts: str
    data: _Data = _Data()
    iteration: str = ""
    interaction: str = ""
    action: str = ""
    agent: str = ""
    n: int = -1


class _Careful(Glance, frozen=True, gc=False):
    """The same where a value is one that no decoder here takes, as a number that no float holds."""

    data: dict[str, msgspec.Raw] = {}  # type: ignore[assignment]


_glance = msgspec.json.Decoder(Glance)
_careful = msgspec.json.Decoder(_Careful)
_any = msgspec.json.Decoder()


def glance(value: bytes) -> Glance:
    """A record's value, of which `data` is looked at only where it matters here.

    Raises:
        DecodeError: it is no event.
    """
    check(value)
    try:
        return _glance.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _glance_carefully(value)


def _glance_carefully(value: bytes) -> Glance:
    try:
        event = _careful.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"not an event: {error}") from error
    known = {name: _value(raw) for name, raw in event.data.items() if name in _Data.__struct_fields__}
    tokens = event.data.get("tokens", msgspec.UNSET)
    return msgspec.structs.replace(event, data=_Data(**{**known, "tokens": tokens}))


class Facts:
    """A run so far. Hearing an event twice changes nothing; the order of events does not matter but for `status`."""

    __slots__ = (
        *("_next", "_others", "_stated", "_tokens", "actions", "agents", "bytes", "cost", "counts", "ended_at"),
        *("events", "failed", "first_ts", "is_over", "last_ts", "run", "session", "started_at", "status", "tags"),
        "workflow",
    )

    def __init__(self, run: str, workflow: str) -> None:
        self.run = run
        self.workflow = workflow
        self.events = self.bytes = 0
        self.counts = dict.fromkeys(("iterations", "interactions", "actions", "resources", "errors", "logs"), 0)
        """Of a document's `counts` those that are not `events`. Nodes are counted by their starts."""
        self.failed = self.is_over = False
        """Something in it failed; it ended, or its producer did."""
        self.status: str | None = None
        """The final status in the producer's letters; None before the end."""
        self.started_at: str | None = None
        self.ended_at: str | None = None
        """`ts` of the run's start and end."""
        self.first_ts = self.last_ts = ""
        self.agents: set[str] = set()
        self.actions: set[str] = set()
        self.tags: list[str] = []
        self.session: str | None = None
        self._tokens: dict[str, float] = {}
        self._stated: list[bytes] = []
        """What actions stated of tokens that `_tokens` does not have yet."""
        self.cost = 0.0
        """US dollars."""
        self._next: dict[str, int] = {}
        """Producer -> the `n` of its next event, as long as all came in order from 0 on."""
        self._others: dict[str, Intervals] = {}
        """What came of the others: `n`, and of events that have none, `seq` (under the producer's id and a mark)."""

    @property
    def duration(self) -> float:
        """Seconds from the first to the last event by the producers' clocks; 0 where a time cannot be read."""
        first, last = parse_time(self.first_ts), parse_time(self.last_ts)
        return last - first if first is not None and last is not None else 0.0

    @property
    def tokens(self) -> dict[str, float]:
        """By name, with their `total`; as in a document."""
        if self._stated:
            self._count_tokens()
        return self._tokens

    @property
    def total_tokens(self) -> float:
        return self.tokens.get("total", 0)

    @property
    def has_beginning(self) -> bool:
        """Whether the first event of each producer that numbers its events was heard."""
        return all(numbers.has(0) for pid, numbers in self._others.items() if not pid.endswith(_UNNUMBERED))

    def hear(self, event: Glance, size: int) -> int:
        """Take in an event of `size` bytes; says what conditions may see otherwise now: `NAMES`, `STATE`, both or 0."""
        n = event.n
        if n >= 0 and self._next.get(event.pid, 0) == n and event.pid not in self._others:
            self._next[event.pid] = n + 1
        elif self._is_known(event):
            return 0
        self.events += 1
        self.bytes += size
        ts = event.ts
        if ts > self.last_ts:  # noqa: PLR1730 - for every event, and max() is a call
            self.last_ts = ts
        if ts < self.first_ts or not self.first_ts:
            self.first_ts = ts
        changed = 0
        if event.agent and event.agent not in self.agents:
            self.agents.add(event.agent)
            changed = NAMES
        take = _TAKES.get(event.type)
        return take(self, event) | changed if take else changed

    def _is_known(self, event: Glance) -> bool:
        pid, number = (event.pid, event.n) if event.n >= 0 else (event.pid + _UNNUMBERED, event.seq)
        numbers = self._others.get(pid)
        if numbers is None:
            upto = self._next.pop(pid, 0)
            numbers = self._others[pid] = Intervals([(0, upto - 1)] if upto else ())
        if numbers.has(number):
            return True
        numbers.add(number)
        return False

    def fail(self) -> int:
        changed = 0 if self.failed else STATE
        self.failed = True
        return changed

    def state_tokens(self, tokens: msgspec.Raw) -> None:
        """Take in what an action says of its tokens."""
        self._stated.append(bytes(tokens))
        if len(self._stated) >= _TOKENS_AT_ONCE:
            self._count_tokens()

    def _count_tokens(self) -> None:
        stated, self._stated = self._stated, []
        totals = self._tokens
        # Only whole numbers come to the same however they are grouped.
        together = added_up(stated) if all(type(number) is int for number in totals.values()) else None
        if together is None:
            for each in stated:
                add_tokens(totals, _value(each))
        else:
            for name, number in together.items():
                totals[name] = totals.get(name, 0) + number


def _start(facts: Facts, event: Glance) -> int:
    if facts.started_at is None:
        facts.started_at = event.ts
        session, tags = event.data.session, event.data.tags
        facts.tags = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
        # As a document's summary: text as it is, anything else as its JSON.
        facts.session = (
            session if session is None or isinstance(session, str) else msgspec.json.encode(session).decode()
        )
    return STATE


def _end(facts: Facts, event: Glance) -> int:
    facts.is_over = True
    facts.ended_at = event.ts
    status = event.data.final_status
    facts.status = status if isinstance(status, str) else ""
    if event.data.error is not None or facts.status.lower() not in SUCCESS:
        facts.failed = True
    return STATE


def _lost(facts: Facts, event: Glance) -> int:  # noqa: ARG001 - one signature for all
    facts.is_over = True
    return facts.fail()


def _error(facts: Facts, event: Glance) -> int:  # noqa: ARG001
    facts.counts["errors"] += 1
    return facts.fail()


def _log(facts: Facts, event: Glance) -> int:
    facts.counts["logs"] += 1
    return facts.fail() if _is_in(event.data.level, _LOUD) else 0


def _resource(facts: Facts, event: Glance) -> int:  # noqa: ARG001
    facts.counts["resources"] += 1
    return 0


def _iteration(facts: Facts, event: Glance) -> int:  # noqa: ARG001
    facts.counts["iterations"] += 1
    return 0


def _interaction(facts: Facts, event: Glance) -> int:  # noqa: ARG001
    facts.counts["interactions"] += 1
    return 0


def _action_start(facts: Facts, event: Glance) -> int:
    facts.counts["actions"] += 1
    name = event.data.action_name
    if name.__class__ is not str or name in facts.actions:
        return 0
    facts.actions.add(name)
    return NAMES


def _result(facts: Facts, event: Glance) -> int:
    data = event.data
    if data.error is None and (data.status is None or not _is_in(data.status, _FAILURE)):
        return 0
    return facts.fail()


def _action_end(facts: Facts, event: Glance) -> int:
    data = event.data
    if data.tokens is not msgspec.UNSET:
        facts.state_tokens(data.tokens)
    if data.cost is not None and is_number(data.cost):
        facts.cost += data.cost
    return _result(facts, event)


def _action(facts: Facts, event: Glance) -> int:
    return _action_start(facts, event) | _action_end(facts, event)


_TAKES: dict[str, Callable[[Facts, Glance], int]] = {
    types.RUN_START: _start,
    types.RUN_END: _end,
    types.PRODUCER_LOST: _lost,
    types.ERROR: _error,
    types.LOG: _log,
    types.RESOURCE: _resource,
    types.ITERATION_START: _iteration,
    types.INTERACTION_START: _interaction,
    types.ACTION_START: _action_start,
    types.ACTION: _action,
    types.ACTION_END: _action_end,
    types.ITERATION_END: _result,
    types.INTERACTION_END: _result,
}


def _is_in(value: Any, words: frozenset[str]) -> bool:
    return value.__class__ is str and value.lower() in words


def _value(raw: bytes | msgspec.Raw) -> Any:
    try:
        return _any.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return None
