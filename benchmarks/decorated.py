"""What a decorator costs: a bare async function beside a decorated one, and beside the same block by hand.

    python -m benchmarks.decorated

CPU time of this process, in rounds that take turns, so that a busy machine slows all alike; the median of the rounds.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable

import tailrace

_ROUNDS, _CALLS = 15, 2_000

Call = Callable[[int, str], Awaitable[str]]


async def bare(number: int, text: str) -> str:
    """What an agent's tool does at least."""
    return text if number else ""


decorated = tailrace.action(bare)
uncaptured = tailrace.action("bare", capture=False)(bare)


def by_hand(turn: tailrace.Interaction) -> Call:
    async def call(number: int, text: str) -> str:
        with turn.action("bare", input={"number": number, "text": text}) as act:
            act.output = await bare(number, text)
        return act.output

    return call


async def measure(calls: dict[str, Call]) -> dict[str, float]:
    """CPU microseconds of a call, by name."""
    took: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(_ROUNDS):
        for name, call in calls.items():
            began = time.process_time()
            for number in range(_CALLS):
                await call(number, "text")
            took[name].append((time.process_time() - began) / _CALLS * 1e6)
    return {name: statistics.median(each) for name, each in took.items()}


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        log = tailrace.configure_logger(workflow_name="bench", home=home, publish="external")
        with log.run() as run, run.interaction("planner") as turn:
            calls = {"bare": bare, "by hand": by_hand(turn), "decorated": decorated, "capture=False": uncaptured}
            found = asyncio.run(measure(calls))
        log.close(0)
    print(f"{'':14} {'CPU us':>8} {'x bare':>8} {'x by hand':>10}")
    for name, took in found.items():
        print(f"{name:14} {took:8.2f} {took / found['bare']:8.1f} {took / found['by hand']:10.2f}")


if __name__ == "__main__":
    main()
