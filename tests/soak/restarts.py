"""A broker that dies and comes back under load, and one that stays away."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import msgspec

from tests.servers import Server
from tests.soak.agent import Agent, Ending, Plan
from tests.soak.check import Verdict, judge
from tests.soak.offsets import acknowledged

_POLL_SECONDS = 0.005


class Outage(msgspec.Struct, frozen=True):
    """How an agent at about 2,000 events a second took a broker's absence."""

    waiting: int
    """Events accepted meanwhile."""
    grown: int
    """Bytes that the agent's memory grew by."""
    verdict: Verdict
    ending: Ending


def restart_under_load(
    broker: Server, settings: dict[str, Any], restarts: int, report: Callable[[float], None]
) -> tuple[Verdict, Ending]:
    """SIGKILL to the broker `restarts` times; `report` gets the seconds from its being ready to the next record."""
    with Agent(Plan(settings, pause=0.002)) as agent:
        for _ in range(restarts):
            _wait_for(lambda: acknowledged(settings) > 0)
            with broker.killed():
                time.sleep(0.5)
            ready = time.monotonic()
            before = acknowledged(settings)
            _wait_for(lambda before=before: acknowledged(settings) > before)
            report(time.monotonic() - ready)
        ending = agent.end()
    return anyio.run(judge, settings, agent.marks), ending


def outage(broker: Server, settings: dict[str, Any], seconds: float) -> Outage:
    """Kill the broker for `seconds`."""
    with Agent(Plan(settings, threads=4, pause=0.0018)) as agent:
        _wait_for(lambda: acknowledged(settings) > 0)
        time.sleep(3)  # until what is allocated once has been
        memory, accepted = _memory(agent.pid), agent.accepted
        with broker.killed():
            time.sleep(seconds)
            grown, waiting = _memory(agent.pid) - memory, agent.accepted - accepted
        ending = agent.end()
    return Outage(waiting, grown, anyio.run(judge, settings, agent.marks), ending)


def _memory(pid: int) -> int:
    """Bytes of the process that are its own: not the pages of mapped files, which the kernel takes back."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("Linux tells RssAnon")


def _wait_for(check: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(_POLL_SECONDS)
