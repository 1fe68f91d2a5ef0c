"""A run of two agents, as events: what the tests of the command line read."""

import msgspec

from tailrace.document import Document, collect
from tailrace.event import Event

RUN = "0190a1b2c3d47000800000001234abcd"
HOSTILE = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\r\n\u202egnp.exe\u200b\x9b31m"


class Story:
    """Writes events of one run, a second apart."""

    def __init__(self, run=RUN, workflow="research", pid="p1"):
        self.run, self.workflow, self.pid = run, workflow, pid
        self.events = []

    def add(self, type_, data=None, **ids):
        seq = len(self.events)
        event = Event(
            id=f"{self.pid}-{seq}",
            seq=seq,
            n=seq,
            pid=self.pid,
            run=self.run,
            workflow=self.workflow,
            type=type_,
            ts=f"2026-01-01T00:00:{seq:02d}.000000Z",
            data=msgspec.Raw(msgspec.json.encode(data or {})),
            **ids,
        )
        self.events.append(event)
        return self

    @property
    def document(self) -> Document:
        return collect(self.events)[self.run]


def finished(run=RUN, workflow="research"):
    """A whole run: a planner, a critic whose tool fails, a resource, an error, a log line."""
    story = Story(run, workflow)
    story.add("run.start", {"session": "c-17", "tags": ["beta"]})
    story.add("iteration.start", {"iteration_id": 1}, iteration="i1")
    planner = {"iteration": "i1", "interaction": "t1", "agent": "planner"}
    story.add("interaction.start", {"agent_name": "planner", "input_data": "compare prices"}, **planner)
    story.add(
        "action",
        {"action_name": "chat", "model": "m-1", "tokens": {"input": 200, "output": 12}, "cost": 0.0131},
        **planner,
    )
    story.add("interaction.end", {"output_data": {"plan": ["look", "compare"]}}, **planner)
    critic = {"iteration": "i1", "interaction": "t2", "agent": "critic"}
    story.add("interaction.start", {"agent_name": "critic"}, **critic)
    story.add("action.start", {"action_name": "fetch", "input_data": "south"}, action="a1", **critic)
    failure = {
        "type": "TimeoutError",
        "message": "no answer",
        "traceback": "File x\n  in fetch\nTimeoutError: no answer\n",
    }
    story.add("action.end", {"error": failure, "duration_ms": 1203}, action="a1", **critic)
    story.add("error", {"error_msg": "south is missing"}, **critic)
    story.add("interaction.end", **critic)
    story.add("iteration.end", {"status": "success"}, iteration="i1")
    story.add("resource", {"resource_name": "s3://bucket/prices.csv"})
    story.add("log", {"level": "WARNING", "message": "one price is old"})
    return story.add("run.end", {"final_status": "completed"})


def hostile():
    """A run in which every text and name that a producer chooses attacks the terminal."""
    story = Story(run="0190a1b2c3d470008000000055556666", workflow=f"w{HOSTILE}")
    story.add("run.start", {"session": HOSTILE, "tags": [HOSTILE]})
    story.add("iteration.start", {"iteration_id": HOSTILE}, iteration="i1")
    ids = {"iteration": "i1", "interaction": "t1", "agent": HOSTILE}
    story.add("interaction.start", {"agent_name": HOSTILE, "input_data": {HOSTILE: HOSTILE}}, **ids)
    failure = {"type": HOSTILE, "message": HOSTILE, "traceback": f"{HOSTILE}\n{HOSTILE}\n{HOSTILE}\n"}
    story.add("action", {"action_name": HOSTILE, "model": HOSTILE, "status": HOSTILE, "error": failure}, **ids)
    story.add("interaction.end", {"output_data": HOSTILE, "error": HOSTILE, "status": HOSTILE}, **ids)
    story.add("resource", {"resource_name": HOSTILE}, agent=HOSTILE)
    story.add("error", {"error_msg": HOSTILE, "exception": failure})
    story.add("log", {"level": HOSTILE, "message": f"[bold red]{HOSTILE}[/]", "fields": {HOSTILE: HOSTILE}})
    story.add("dropped", {"reasons": {HOSTILE: 3}})
    story.add("run.sampled", {"rate": 0.5, "reason": HOSTILE, "weight": 2})
    return story.add("run.end", {"final_status": HOSTILE})
