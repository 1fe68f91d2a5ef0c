"""Rounds in which an agent is killed by SIGKILL while it logs and ships, and now and then the companion that ships."""

from __future__ import annotations

import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import anyio

from tests.soak.agent import Agent, Plan, Shipper
from tests.soak.check import Verdict, judge

_AT_ONCE = 3


def kill_batch(bus: str, directory: Path, seed: int, rounds: int, *, longest: float = 0.4) -> Verdict:
    """`rounds` agents, up to three at once, that share a spool directory and a topic, and then the verdict on all.

    The seed decides what each agent does and when it is killed, within what the machine's timing allows.
    """
    settings = {"bus": bus, "home": str(directory), "prefix": f"soak-{seed}"}
    chosen = random.Random(seed)
    plans = [
        (_plan(chosen, number, settings), chosen.uniform(0.0, longest), chosen.random() < 0.2)
        for number in range(rounds)
    ]
    marks: dict[int, int] = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for told in pool.map(lambda each: _round(*each), plans):
            marks |= told
    return anyio.run(judge, settings, marks)


def _plan(chosen: random.Random, number: int, settings: dict[str, Any]) -> Plan:
    settings = dict(settings)
    settings["publish"] = chosen.choice(["companion", "companion", "internal", "external"])
    if chosen.random() < 0.25:
        settings["spool"] = {"segment_bytes": 1 << 14}
    forks = chosen.randint(1, 3) if chosen.random() < 0.2 else 0
    return Plan(settings, number, chosen.randint(1, 4), forks, chosen.choice([1, 20, 200]))


def _round(plan: Plan, seconds: float, kills_companion: bool) -> dict[int, int]:
    with ExitStack() as stack:
        if plan.settings.get("publish") == "external":
            shipper = Shipper(plan.settings)
            stack.callback(shipper.kill)
        agent = stack.enter_context(Agent(plan))
        agent.wait_begun()
        time.sleep(seconds / 2)
        if kills_companion:
            _kill_companions(Path(plan.settings["home"]))
        time.sleep(seconds / 2)
    return agent.marks


def _kill_companions(home: Path) -> None:
    """Whoever still logs starts another; without anybody, the spools are left for the verdict's sweep."""
    for lock in home.glob("spool/companion-*.lock"):
        if process := lock.read_text():
            with suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
