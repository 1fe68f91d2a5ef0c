"""Hypothesis strategies for events: well-formed runs, and events as a broken or hostile producer may write them."""

import msgspec
from hypothesis import strategies as st

from tailrace.event import Event, types

RUN = "0190a1b2c3d47000800000000000abcd"
TYPES = [
    *(types.RUN_START, types.RUN_END, types.ITERATION_START, types.ITERATION_END),
    *(types.INTERACTION_START, types.INTERACTION_END, types.ACTION, types.ACTION_START, types.ACTION_END),
    *(types.RESOURCE, types.ERROR, types.LOG, types.DROPPED, types.RUN_SAMPLED, types.RUN_DROPPED, types.PRODUCER_LOST),
    *(types.RUN_ABANDONED, "some.future.type"),
]
KEYS = [
    *("agent_name", "input_data", "output_data", "status", "error", "final_status", "verbosity", "tags", "fields"),
    *("tokens", "cost", "duration_ms", "model", "id", "event", "end_event", "iteration", "agent", "start_extra"),
    *(
        "timestamp",
        "level",
        "message",
        "rate",
        "reason",
        "weight",
        "reasons",
        "newer",
        "decisions",
        "counts",
        "outcome",
        "session",
        "iteration_id",
    ),
]
VALUES = [
    *(None, True, 0, -7, 2**64 - 1, 1.5, 1e300, "", "planner", "ok", "\u00e9\u2028", "a" * 50),
    *([], [1, [2, {"a": None}]], {}, {"input": 3, "output": 4.5}, {"type": "E", "message": "m"}, ["beta"]),
]
raw_objects = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=5).map(
    lambda value: msgspec.Raw(msgspec.json.encode(value))
)
node_ids = st.sampled_from(["", "", "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"])


@st.composite
def events(draw):
    """Any event of one run: ids that contradict, types and fields of newer versions, halves without their other."""
    pid = draw(st.sampled_from(["p1", "p2", "p-3"]))
    seq = draw(st.integers(0, 30))
    usual = draw(st.sampled_from([True] * 7 + [False]))
    return Event(
        id=f"{pid}-{seq}" if usual else draw(st.sampled_from(["x", "p1-00", "p1--1", "-", "p2-5"])),
        seq=seq if usual else draw(st.integers(-2, 3)),
        pid=pid,
        run=RUN,
        workflow=draw(st.sampled_from(["w"] * 7 + ["other"])),
        type=draw(st.sampled_from(TYPES)),
        ts=f"2026-01-01T00:00:{draw(st.integers(0, 9)):02d}.000000Z",
        iteration=draw(node_ids),
        interaction=draw(node_ids),
        action=draw(node_ids),
        agent=draw(st.sampled_from(["", "planner", "critic"])),
        n=seq if usual else -1,
        data=draw(raw_objects),
        extra=draw(st.sampled_from([{}, {}, {"newer": msgspec.Raw(b"[1, 2]")}])),
    )


def unique(found):
    """One event an id, as the contract says."""
    return list({event.id: event for event in found}.values())


runs = st.lists(events(), max_size=14).map(unique)
