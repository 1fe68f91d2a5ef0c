"""Events and received records, made in one line."""

import msgspec
from hypothesis import strategies as st

from tailrace.bus import Partition, Received
from tailrace.bus.bundle import Bundle, Bundled
from tailrace.bus.topics import Topics
from tailrace.event import Event, encode, types
from tailrace_consumers.sample.outcomes import share

TOPICS = Topics("t")
EVENTS = TOPICS.events("w")
SAMPLED = TOPICS.sampled_of(EVENTS)
HOME = Partition(EVENTS, 0)
KEPT = next(f"{n:x}" for n in range(1000) if share(f"{n:x}") < 0.5)
LEFT = next(f"{n:x}" for n in range(1000) if share(f"{n:x}") >= 0.5)
TAIL = {"rate": 0.5, "keep_errors": True, "grace": 2.0, "decision_wait": 600.0}
"""Settings of a sampler that keeps the run `KEPT` by its id, and `LEFT` only for an error."""


def event(run, seq, type_=types.LOG, ts=None, **data):
    if type_ == types.LOG and not data:
        data = {"level": "INFO", "message": "hello"}
    return Event(
        id=f"p-{run}-{seq}",
        seq=seq,
        pid=f"p-{run}",
        run=run,
        workflow="w",
        type=type_,
        ts=ts or f"2026-01-01T00:00:{seq % 60:02d}.000000Z",
        n=seq,
        data=msgspec.Raw(msgspec.json.encode(data)),
    )


def start(run):
    return event(run, 0, types.RUN_START)


def end(run, seq, status="completed"):
    return event(run, seq, types.RUN_END, final_status=status)


def failure(run, seq):
    return event(run, seq, types.ERROR, error_msg="boom")


def received(event, offset, *, topic=EVENTS, partition=0, timestamp=0.0, headers=(("traceparent", b"00"),)):
    value = event if isinstance(event, bytes) else encode(event)
    key = b"k" if isinstance(event, bytes) else event.run.encode()
    return Received(topic, partition, offset, key, value, headers, timestamp)


def apart(items):
    """What a stage gives out, records each alone."""
    return [record for item in items for record in (Bundled([item]) if isinstance(item, Bundle) else [item])]


def log_of(*events, first=0, **where):
    """The events as records of one partition."""
    return [received(each, offset, **where) for offset, each in enumerate(events, first)]


@st.composite
def interleaved_runs(draw):
    """Well-formed runs, some with an error, some without an end, their events mixed as agents mix them."""
    mixed = []
    for number in range(draw(st.integers(1, 4))):
        run = f"{draw(st.integers(0, 99)):02d}-{number}"
        inner = draw(st.lists(st.sampled_from([event, event, failure]), max_size=5))
        events = [start(run), *(make(run, seq) for seq, make in enumerate(inner, 1))]
        if draw(st.booleans()):
            events.append(end(run, len(events), draw(st.sampled_from(["completed", "failed"]))))
        times = sorted(draw(st.lists(st.integers(0, 50), min_size=len(events), max_size=len(events))))
        mixed += zip(times, [number] * len(events), range(len(events)), events, strict=True)
    return [each[-1] for each in sorted(mixed, key=lambda each: each[:3])]
