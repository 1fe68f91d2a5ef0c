"""Runs whose every event says a text of its own, so that it can be found, counted and missed in a document."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgspec

from tailrace.event import Event, types
from tailrace.event.ids import new_node_id, new_run_id, time_text
from tests.system.consumers.hostile import strange

WORKFLOW = "load"
_BEGIN = 1_790_000_000.0
_FAILED = 0.2


class Agents:
    """A few runs at once, their events mixed as agents mix them. Each event's text begins with `mark-` and a number."""

    def __init__(
        self, name: str, seed: int, *, at_once: int = 8, unended: float = 0.0, strange_runs: float = 0.0
    ) -> None:
        """Shares of the runs: those that never say their end, and those with strange events among theirs."""
        self.name = name
        self.seq = 0
        self._random = random.Random(seed)
        self._at_once = at_once
        self._unended = unended
        self._strange = strange_runs
        self._open: list[Iterator[Event]] = []

    def events(self, count: int) -> list[Event]:
        """The next `count` events of all runs."""
        found: list[Event] = []
        while len(found) < count:
            while len(self._open) < self._at_once:
                self._open.append(self._run())
            run = self._random.choice(self._open)
            event = next(run, None)
            if event is None:
                self._open.remove(run)
            else:
                found.append(event)
        return found

    def rest(self) -> list[Event]:
        """What the open runs have still to say."""
        runs, self._open = self._open, []
        return [event for run in runs for event in run]

    def _run(self) -> Iterator[Event]:
        run, turn, status = _Run(self, new_run_id()), new_node_id(), "completed"
        yield run.says(types.RUN_START, {"verbosity": "INFO", "fields": {"text": run.text()}})
        yield run.says(types.INTERACTION_START, {"agent_name": "planner", "input_data": run.text()}, turn)
        for _ in range(self._random.randint(1, 8)):
            yield run.says(types.ACTION, {"action_name": "search", "output_data": run.text(), "tokens": 17}, turn)
        if self._random.random() < self._strange:
            for type_, data, unknown in strange(self._random):
                run.text()
                yield run.says(type_, data, **unknown)
        if self._random.random() < _FAILED:
            status = self._random.choice(["completed", "failed"])
            yield run.says(types.ERROR, {"error_msg": run.text()})
        yield run.says(types.LOG, {"level": "INFO", "message": run.text()})
        yield run.says(types.INTERACTION_END, {"output_data": run.text()}, turn)
        if self._random.random() >= self._unended:
            yield run.says(types.RUN_END, {"final_status": status, "outcome": {"text": run.text()}})


class _Run:
    """Makes the events of one run, in the order in which they are asked for."""

    def __init__(self, agents: Agents, run_id: str) -> None:
        self._agents = agents
        self._run_id = run_id
        self._n = -1

    def text(self) -> str:
        """What the next event says, so that its number is taken with it."""
        self._agents.seq += 1
        return f"mark-{self._agents.name}-{self._agents.seq}. the flight was delayed; a refund of 42 EUR is due"

    def says(self, type_: str, data: dict[str, Any], interaction: str = "", **unknown: Any) -> Event:
        self._n += 1
        pid, seq = f"agent-{self._agents.name}", self._agents.seq
        return Event(
            id=f"{pid}-{seq}",
            seq=seq,
            pid=pid,
            run=self._run_id,
            workflow=WORKFLOW,
            type=type_,
            ts=time_text(_BEGIN + seq / 1000),
            interaction=interaction,
            n=self._n,
            data=_raw(data),
            extra={name: _raw(value) for name, value in unknown.items()},
        )


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
