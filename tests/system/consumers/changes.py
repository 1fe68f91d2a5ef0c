"""Groups whose members join, leave and are killed at random while events come in."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import msgspec

from tests.system.consumers.chain import Chain
from tests.system.consumers.feed import fed
from tests.system.consumers.points import STAGES
from tests.system.consumers.verdict import Verdict

_SESSION_MS = 1_000
_MOST_MEMBERS = 3


class Changed(msgspec.Struct):
    """How often members joined, left and were killed, and what came of it."""

    changes: Counter[str]
    verdict: Verdict

    @property
    def ok(self) -> bool:
        return self.verdict.ok

    def __str__(self) -> str:
        changes = ", ".join(f"{count} {what}" for what, count in sorted(self.changes.items()))
        return f"{self.changes.total()} changes ({changes}); {self.verdict}"


def change_members(
    bus: str, directory: Path, seed: int, changes: int, *, rate: int = 300, longest: float = 1.0
) -> Changed:
    """Change the groups of a chain of stages `changes` times, with pauses of up to `longest` seconds between.

    A stage may be without members for a while; at the end each has one at least, and those read the rest.
    """
    chosen = random.Random(seed)
    made: Counter[str] = Counter()
    with Chain(f"{bus}?session_timeout_ms={_SESSION_MS}", directory, "changes", seed) as chain:
        with fed(bus, [chain.input], rate):
            for stage in STAGES:
                chain.join(stage)
            for _ in range(changes):
                time.sleep(chosen.uniform(0.0, longest))  # any moment of a rebalance may be hit
                made[_change(chain, chosen)] += 1
        for stage, workers in chain.workers.items():
            if not workers:
                chain.join(stage)
        verdict = chain.judge()
    return Changed(made, verdict)


def _change(chain: Chain, chosen: random.Random) -> str:
    chain.check_alive()
    stage = chosen.choice([*STAGES])
    workers = chain.workers[stage]
    what = chosen.choice(["joined", "left", "killed"])
    if not workers or (what == "joined" and len(workers) < _MOST_MEMBERS):
        chain.join(stage)
        return "joined"
    worker = workers.pop(chosen.randrange(len(workers)))
    if what == "killed":
        worker.kill()
        return what
    worker.terminate()
    return "left"
