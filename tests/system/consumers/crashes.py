"""Workers that are killed at every named point, again and again, while records come in."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import msgspec

from tests.system.consumers.feed import fed
from tests.system.consumers.lane import Lane, judge_lanes
from tests.system.consumers.points import POINTS, REBALANCED, SELDOM, STAGES, Fuse
from tests.system.consumers.verdict import Verdict
from tests.system.consumers.worker import Worker

_SESSION_MS = 1_000
"""How long a group waits for its dead."""
_MOST_PASSAGES = 3
_REACH_SECONDS = 30.0
_EVENTS_A_KILL = 100
_UNREADABLE = 0.08
_STRANGE = 0.1


class Killed(msgspec.Struct):
    """What became of the lanes of one schedule of kills."""

    kills: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    """By stage and point."""
    unreached: list[str] = []
    verdict: Verdict = msgspec.field(default_factory=Verdict)

    @property
    def ok(self) -> bool:
        return self.verdict.ok and not self.unreached

    def __str__(self) -> str:
        fewest, points = min(self.kills.values(), default=0), len(self.kills)
        kills = f"{self.kills.total():,} kills at {points} points of stages, at each {fewest} or more"
        return f"{kills}; {self.verdict}; never reached: {', '.join(self.unreached) or 'none'}"


def kill_everywhere(
    bus: str,
    directory: Path,
    seed: int,
    times: int,
    *,
    stages: Sequence[str] = tuple(STAGES),
    points: Sequence[str] = POINTS,
    lanes: int = 4,
    rate: int = 50,
) -> Killed:
    """Kill each stage at each point `times` times, in `lanes` groups a stage at once, at `rate` events/s a group.

    The seed decides the order of the kills and the events, within what the machine's timing allows.
    """
    chosen = random.Random(seed)
    bus = f"{bus}?session_timeout_ms={_SESSION_MS}"
    plans: list[tuple[Lane, list[Fuse]]] = []
    for stage in stages:
        fuses = _fuses(chosen, points, times)
        for number in range(lanes):
            name = f"crash-{stage}-{number}"
            lane = Lane(stage, name, bus, directory, seed, unreadable=_UNREADABLE, strange_runs=_STRANGE)
            lane.input.quota = _EVENTS_A_KILL
            plans.append((lane, fuses[number::lanes]))
    all_lanes = [lane for lane, _ in plans]
    anyio.run(_create, all_lanes)
    killed = Killed()
    with fed(bus, [lane.input for lane in all_lanes], rate), ThreadPoolExecutor(len(plans)) as pool:
        for kills, unreached in pool.map(lambda plan: _kill(*plan), plans):
            killed.kills += kills
            killed.unreached += unreached
    killed.verdict = anyio.run(judge_lanes, all_lanes)
    return killed


def _fuses(chosen: random.Random, points: Sequence[str], times: int) -> list[Fuse]:
    fuses = []
    for point in points:
        most = 1 if point in SELDOM else _MOST_PASSAGES
        fuses += [Fuse(point, chosen.randint(1, most)) for _ in range(times)]
    chosen.shuffle(fuses)
    return fuses


def _kill(lane: Lane, fuses: Sequence[Fuse]) -> tuple[Counter[tuple[str, str]], list[str]]:
    """One worker after the other, each killed by its fuse; names the points that were not reached."""
    kills: Counter[tuple[str, str]] = Counter()
    unreached = []
    for fuse in fuses:
        lane.input.quota += _EVENTS_A_KILL
        worker = Worker(lane.stage, lane.settings, fuse)
        try:
            reached = _die_beside_another(worker, lane) if fuse.point in REBALANCED else worker.dies(_REACH_SECONDS)
        finally:
            worker.kill()
        if reached:
            kills[lane.stage, fuse.point] += 1
        else:
            unreached.append(f"{lane.stage}, {fuse.point}")
    return kills, unreached


def _die_beside_another(worker: Worker, lane: Lane) -> bool:
    """The other one joins, which takes all partitions away from everyone, sees one die, and ends in order."""
    assert worker.wait_assigned(_REACH_SECONDS), f"a worker of {lane.stage} was given no partition"
    other = Worker(lane.stage, lane.settings)
    try:
        reached = worker.dies(_REACH_SECONDS)
        if other.wait_assigned(_REACH_SECONDS):
            other.terminate()
    finally:
        other.kill()
    return reached


async def _create(lanes: Sequence[Lane]) -> None:
    for lane in lanes:
        await lane.create_topics()
