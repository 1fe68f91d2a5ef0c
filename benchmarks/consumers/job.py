"""The events that consumers are measured on, in the bytes that tailrace itself writes."""

from __future__ import annotations

import functools
import random
import string
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from tailrace.bus import Record
from tailrace.document.parsed import parse
from tailrace.document.view import view_of
from tailrace.event import CONTENT_TYPE, SCHEMA_VERSION, types
from tailrace.event.wire import compose, share

WORKFLOW, AGENT, PID = "support-triage", "researcher", "019400000000aaaaaaaaaaaa"
EVENTS_A_RUN, SMALL_EVENTS_A_RUN = 50, 20

_START_MICROSECONDS = 1_767_225_600_000_000
"""2026-01-01. Events are a millisecond apart."""
_CALLS = 8
"""Action calls a turn."""
_TEXTS = 256
_encode = msgspec.json.encode


class Step(NamedTuple):
    """An event of a run, before it is known which run."""

    type: str
    place: tuple[str, str, str]
    """Iteration, interaction, agent."""
    data: bytes


Steps = Callable[[int], Iterator[Step]]
"""The steps of the run of that number."""


def events(topic: str, runs: int, open_at_once: int, steps: Steps, each: int) -> Iterator[Record]:
    """The events of runs of `each` steps, of which so many go on at a time; ends are spread evenly over the stream."""
    slots = [_slot(number, runs, open_at_once, steps) for number in range(open_at_once)]
    waiting = [number * each // open_at_once for number in range(open_at_once)]
    seq, live = 0, True
    while live:
        live = False
        for number, slot in enumerate(slots):
            if waiting[number]:
                waiting[number] -= 1
                live = True
            elif (following := next(slot, None)) is not None:
                yield _record(topic, seq, *following)
                seq += 1
                live = True


def steps(number: int, turns: int = 4) -> Iterator[Step]:
    """A run of 50 events (with 4 turns), of about 700 B each."""
    texts = _texts()
    fields = {"customer": texts[number % _TEXTS][:60], "note": texts[-(number % _TEXTS)]}
    yield Step(types.RUN_START, ("", "", ""), _encode({"fields": fields, "tags": ["beta"], "verbosity": "INFO"}))
    for turn in range(turns):
        iteration = f"{number:08x}{turn:08x}"
        outer, inner = (iteration, "", ""), (iteration, f"{number:08x}{turn + 16:08x}", AGENT)
        said = texts[(number + turn) % _TEXTS]
        yield Step(types.ITERATION_START, outer, _encode({"fields": {"goal": said}, "iteration_id": turn + 1}))
        yield Step(types.INTERACTION_START, inner, _encode({"agent_name": AGENT, "input_data": {"prompt": said}}))
        for call in range(_CALLS):
            yield Step(types.ACTION, inner, _call(number + turn * _CALLS + call))
        yield Step(types.INTERACTION_END, inner, _encode({"output_data": {"answer": said}, "status": "ok"}))
        yield Step(types.ITERATION_END, outer, _encode({"outcome": {"summary": said}, "status": "success"}))
    outcome = {"summary": texts[number % _TEXTS]}
    yield Step(types.RUN_END, ("", "", ""), _encode({"final_status": "completed", "outcome": outcome}))


def small_steps(_: int) -> Iterator[Step]:
    """A run of 20 events, of about 300 B each."""
    yield Step(types.RUN_START, ("", "", ""), b'{"verbosity":"INFO"}')
    for _ in range(SMALL_EVENTS_A_RUN - 2):
        yield Step(types.LOG, ("", "", AGENT), b'{"level":"INFO","message":"a step of the run was done"}')
    yield Step(types.RUN_END, ("", "", ""), b'{"final_status":"completed"}')


def long_steps(length: int) -> Steps:
    """One run of that many events of about 700 B."""

    def steps_of(_: int) -> Iterator[Step]:
        for number in range(length - 1):
            yield Step(types.ACTION, ("", "", AGENT), _call(number))
        yield Step(types.RUN_END, ("", "", ""), b'{"final_status":"completed"}')

    return steps_of


def documents(topic: str, count: int) -> Iterator[Record]:
    """Documents of about 15 kB, each of a run of its own."""
    for number in range(count):
        run = run_id(number)
        values = [_record(topic, n, run, n, step).value for n, step in enumerate(steps(number, turns=2))]
        body = msgspec.json.encode(view_of(run, [parse(value) for value in values]))
        yield Record(topic, run.encode(), body, (("content-type", CONTENT_TYPE.encode()),))


def run_id(number: int) -> str:
    return f"{_START_MICROSECONDS // 1000:012x}7000800000{number:010x}"


def _slot(number: int, runs: int, open_at_once: int, steps: Steps) -> Iterator[tuple[str, int, Step]]:
    """The runs that follow each other in one of the places for open runs."""
    for turn in range(number, runs, open_at_once):
        run = run_id(turn)
        for n, step in enumerate(steps(turn)):
            yield run, n, step


def _record(topic: str, seq: int, run: str, n: int, step: Step) -> Record:
    shared = _share(run, step.place)
    value = compose(shared, seq, types.CODES[step.type], _START_MICROSECONDS + seq * 1000, n, step.data)
    headers = (*_HEADERS, ("traceparent", f"00-{run}-0000000000000001-01".encode()))
    return Record(topic, run.encode(), value, headers)


_HEADERS = (("content-type", CONTENT_TYPE.encode()), ("tr-v", SCHEMA_VERSION.encode()))


@functools.lru_cache(maxsize=10_000)
def _share(run: str, place: tuple[str, str, str]) -> str:
    iteration, interaction, agent = place
    return share(PID, run, WORKFLOW, iteration=iteration, interaction=interaction, agent=agent)


def _call(number: int) -> bytes:
    texts = _texts()
    data: dict[str, Any] = {
        "action_name": ("search", "summarize", "call_tool", "plan")[number % 4],
        "cost": 0.0021,
        "duration_ms": 12.5,
        "input_data": {"prompt": texts[number % _TEXTS][:100], "model": "model-large-1", "temperature": 0.2},
        "output_data": {"completion": texts[-(number % _TEXTS)][:130], "finish_reason": "stop"},
        "tokens": {"input": 50 + number % 100, "output": 75},
    }
    return _encode(data)


@functools.cache
def _texts() -> list[str]:
    draw = random.Random(7)  # noqa: S311 - made-up text
    words = ["".join(draw.choices(string.ascii_lowercase, k=draw.randint(2, 9))) for _ in range(3_000)]
    return [" ".join(draw.choices(words, k=70))[:290] for _ in range(_TEXTS)]
