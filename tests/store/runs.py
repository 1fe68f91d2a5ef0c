"""Documents for the store's tests, made of events as a logger sends them."""

import itertools

import msgspec

from tailrace.document import Document, collect
from tailrace.event import Event, types

_ids = itertools.count(1)


def run_id(hour=0, *, day=1):
    """A new run id of 2026-01-`day`, `hour` o'clock."""
    milliseconds = 1_767_225_600_000 + (day - 1) * 86_400_000 + hour * 3_600_000
    return f"{milliseconds:012x}7000{0x8000:04x}{next(_ids) * 0x9E3779B97F4A7C15 % 2**48:012x}"


def at(hour, second=0, *, day=1):
    return f"2026-01-{day:02d}T{hour:02d}:00:{second:02d}.000000Z"


class Producer:
    """Makes the events of one run, one after the other."""

    def __init__(self, run, *, workflow="support-bot", hour=0, day=1, pid=None):
        self.run, self.workflow, self.hour, self.day = run, workflow, hour, day
        self.pid = pid or f"p{next(_ids)}"
        self.events = []

    def send(self, type_, data=None, **fields):
        seq = len(self.events)
        self.events.append(
            Event(
                id=f"{self.pid}-{seq}",
                seq=seq,
                pid=self.pid,
                run=self.run,
                workflow=self.workflow,
                type=type_,
                ts=fields.pop("ts", at(self.hour, seq % 60, day=self.day)),
                n=seq,
                data=msgspec.Raw(data if isinstance(data, bytes) else msgspec.json.encode(data or {})),
                **fields,
            )
        )
        return self

    def document(self):
        return collect(self.events).get(self.run, Document(self.run))


def producer(hour=0, *, day=1, workflow="support-bot", tags=(), session=None):
    """A producer whose run has started."""
    made = Producer(run_id(hour, day=day), workflow=workflow, hour=hour, day=day)
    return made.send(types.RUN_START, {"tags": list(tags), "session": session})


def run(
    said="hello",
    *,
    hour=0,
    day=1,
    workflow="support-bot",
    agents=("planner",),
    status="completed",
    tags=(),
    session=None,
):
    """The document of a short run in which each agent takes `said`; status None leaves it open."""
    made = producer(hour, day=day, workflow=workflow, tags=tags, session=session)
    made.send(types.ITERATION_START, {"iteration_id": 1}, iteration="a" * 16)
    for number, agent in enumerate(agents):
        place = {"iteration": "a" * 16, "interaction": f"{number + 1:016x}", "agent": agent}
        made.send(types.INTERACTION_START, {"agent_name": agent, "input_data": said}, **place)
        made.send(types.ACTION, {"action_name": "look_up", "output_data": {"found": said}, "tokens": 3}, **place)
        made.send(types.INTERACTION_END, {"output_data": said, "status": "ok"}, **place)
    if status is not None:
        made.send(types.RUN_END, {"final_status": status})
    return made.document()


def said(data):
    """The document of a run with one log line, whose `data` is the given JSON text or value."""
    return producer().send(types.LOG, data).document()
