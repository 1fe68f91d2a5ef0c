"""A broker and a search server that are killed and started again in turn, while a chain of stages is at work."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from pathlib import Path

import msgspec

from tests.servers import Server
from tests.system.consumers.chain import Chain
from tests.system.consumers.feed import fed
from tests.system.consumers.points import STAGES
from tests.system.consumers.verdict import Verdict

_SESSION_MS = 3_000


class Outages(msgspec.Struct):
    """How often which server was killed, and what came of it."""

    kills: Counter[str]
    verdict: Verdict

    @property
    def ok(self) -> bool:
        return self.verdict.ok

    def __str__(self) -> str:
        kills = ", ".join(f"{name} killed {count} times" for name, count in self.kills.items())
        return f"{kills}; {self.verdict}"


def kill_servers(
    broker: Server,
    search: Server,
    directory: Path,
    seed: int,
    *,
    seconds: float = 0.0,
    away: float = 0.5,
    pause: float = 1.0,
    rate: int = 300,
) -> Outages:
    """Kill each server in turn, each once at least, until `seconds` are over; nobody touches a worker meanwhile.

    Each is away for `away` seconds and the time that it takes to start, and then left alone for `pause`.
    """
    bus = f"{broker.url}?session_timeout_ms={_SESSION_MS}"
    kills: Counter[str] = Counter()
    with Chain(bus, directory, "outages", seed, store=search.url) as chain:
        with fed(bus, [chain.input], rate):
            for stage in STAGES:
                chain.join(stage)
            for workers in chain.workers.values():
                assert workers[0].wait_assigned(60)
            end = time.monotonic() + seconds
            for server in itertools.cycle([search, broker]):
                if time.monotonic() >= end and len(kills) > 1:
                    break
                time.sleep(pause)
                with server.killed():
                    time.sleep(away)
                kills[server.scheme] += 1
                chain.check_alive()
        verdict = chain.judge()
    return Outages(kills, verdict)
