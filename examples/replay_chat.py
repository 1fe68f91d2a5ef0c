"""Replays recorded agent runs through tailrace, as concurrent tasks, on whatever bus and store is configured.

    python examples/replay_chat.py RUNS.json --concurrency 50
    python examples/check_replay.py RUNS.json

RUNS.json is a list of runs, each with `traj`: chat messages with `role`, `content`, and for an assistant `tool_calls`,
for a tool `tool_call_id`. A run of the list becomes a run of tailrace. Each assistant turn is an interaction: its input
the messages since the turn before, its output what the assistant said; each tool call is an action with its arguments
and its result. The reward is a field of the run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tailrace

Message = dict[str, Any]
Accepted = Callable[[int, str], None]


def turns(traj: list[Message]) -> Iterator[tuple[list[Message], Message | None, dict[str, Message]]]:
    """(messages before it, assistant message, its tool results by call id); last the messages after every turn."""
    results = {message["tool_call_id"]: message for message in traj if message["role"] == "tool"}
    before: list[Message] = []
    for message in traj:
        if message["role"] == "assistant":
            calls = [call["id"] for call in message.get("tool_calls") or ()]
            yield before, message, {call: results[call] for call in calls if call in results}
            before = []
        elif message["role"] != "tool":
            before.append(message)
    yield before, None, {}


def arguments_of(call: dict[str, Any]) -> Any:
    """A call's arguments as data; text that is no JSON stays text."""
    text = call["function"]["arguments"]
    try:
        return json.loads(text)
    except ValueError:
        return text


async def replay(
    log: tailrace.Logger, number: int, recorded: dict[str, Any], batch: str, pace: float, accepted: Accepted
) -> str:
    """One recorded run; gives the new run's id. `accepted` is told each call that returned."""
    known = {name: recorded[name] for name in ("task_id", "trial") if name in recorded}
    async with log.run(tags=[batch], source=number, **known) as run:
        accepted(number, "run")
        for place, (before, message, results) in enumerate(turns(recorded["traj"])):
            if message is None:
                run.set(reward=recorded.get("reward"), after=before)
                break
            with run.interaction("assistant", input=before) as turn:
                accepted(number, f"turn {place}")
                for call in message.get("tool_calls") or ():
                    name = call["function"]["name"]
                    with turn.action(name, input=arguments_of(call), call_id=call["id"]) as action:
                        accepted(number, f"call {call['id']}")
                        await asyncio.sleep(pace)
                        if call["id"] in results:
                            action.output = results[call["id"]]["content"]
                    accepted(number, f"result {call['id']}")
                turn.output = message["content"]
            accepted(number, f"said {place}")
            await asyncio.sleep(pace)
    accepted(number, "end")
    return run.run_id


async def main(options: argparse.Namespace) -> int:
    recorded = json.loads(Path(options.path).read_text(encoding="utf-8"))[: options.limit]
    log = tailrace.configure_logger(workflow_name=options.workflow)
    batch = f"replay-{secrets.token_hex(4)}"
    print(f"{len(recorded)} runs, tag {batch}", flush=True)
    note: Accepted = lambda number, what: None  # noqa: ARG005, E731
    if options.accepted:
        record = os.open(options.accepted, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        note = lambda number, what: os.write(record, f"{number} {what}\n".encode()) and None  # noqa: E731
    begin = time.perf_counter()
    places = asyncio.Semaphore(options.concurrency)

    async def one(number: int) -> None:
        async with places:
            await replay(log, number, recorded[number], batch, options.pace, note)

    await asyncio.gather(*(one(number) for number in range(len(recorded))))
    logged = time.perf_counter() - begin
    result = await log.flush("broker", timeout=options.flush)
    shipped = time.perf_counter() - begin
    print(
        f"{result.accepted} events accepted in {logged:.2f} s, {result.acked} on the bus after {shipped:.2f} s,"
        f" dropped: {result.dropped or 0}"
    )
    return 0 if result.reached and not result.dropped else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Replay recorded agent runs through tailrace.")
    parser.add_argument("path", help="a JSON list of runs, each with `traj`")
    parser.add_argument("--concurrency", type=int, default=50, help="runs under way at once (default 50)")
    parser.add_argument("--workflow", default="replay-chat", help="workflow name (default replay-chat)")
    parser.add_argument("--limit", type=int, default=None, help="only the first N runs")
    parser.add_argument("--pace", type=float, default=0.0, help="seconds to wait in each call and turn (default 0)")
    parser.add_argument("--flush", type=float, default=30.0, help="seconds to wait for the bus at the end (default 30)")
    parser.add_argument("--accepted", help="append a line for each call that returned: what a killed replay had logged")
    sys.exit(asyncio.run(main(parser.parse_args())))
