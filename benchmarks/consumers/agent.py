"""The agent whose events are waited for: `python -m benchmarks.consumers.agent RATE WARM SECONDS OPEN EVENTS_A_RUN`.

It logs runs, `OPEN` of them at a time, at an even `RATE` of calls a second in all: for `WARM` seconds, and a
line on its stdin later for `SECONDS`. Each call carries the wall clock's nanoseconds of the moment before it. It tells
on stdout, in lines of JSON, the id of each run that begins, and after each of the two all of them: run id -> these
times, in the order of the calls.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import tailrace
from benchmarks.payloads import MASK, payloads

WORKFLOW, AGENT = "latency", "researcher"
BEFORE_CALLS = 2
"""Events of a run before its first call: its start and the turn's."""

_Times = dict[str, list[int]]


async def log_runs(rate: int, seconds: float, open_at_once: int, calls_a_run: int) -> _Times:
    """Runs that follow each other in each of the places for open ones, their ends spread evenly."""
    begin, end = time.monotonic() + 0.1, time.monotonic() + 0.1 + seconds
    logged: _Times = {}
    apart = open_at_once / rate

    async def place(number: int) -> None:
        due = begin + number / rate
        calls = calls_a_run * (number + 1) // open_at_once or 1  # the first run of a place is a short one
        while due < end:
            due = await _run(logged, due, min(end, due + calls * apart), apart)
            calls = calls_a_run

    async with asyncio.TaskGroup() as places:
        for number in range(open_at_once):
            places.create_task(place(number))
    return logged


async def _run(logged: _Times, due: float, until: float, apart: float) -> float:
    """One run of evenly spaced calls; when the next one is due."""
    made = payloads_of_process
    log = tailrace.get_logger(WORKFLOW)
    async with log.run() as run, run.interaction(AGENT, input="what was asked") as turn:
        times = logged[run.run_id] = []
        _tell(run.run_id)
        while due < until:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            payload = made[len(times) & MASK]
            now = time.time_ns()
            log.log_action(payload.name, {"at": now, **payload.input}, payload.output)
            times.append(now)
            due += apart
        turn.output = "what was answered"
    return due


def _tell(what: _Times | str) -> None:
    print(json.dumps(what), flush=True)


payloads_of_process = payloads()


async def main() -> None:
    rate, warm, seconds, open_at_once, calls_a_run = map(int, sys.argv[1:])
    _tell(await log_runs(rate, warm, open_at_once, calls_a_run))
    await asyncio.to_thread(sys.stdin.readline)
    _tell(await log_runs(rate, seconds, open_at_once, calls_a_run))
    await asyncio.to_thread(sys.stdin.readline)  # its clean exit ships nothing that was not shipped


if __name__ == "__main__":
    asyncio.run(main())
