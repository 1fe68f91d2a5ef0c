"""Records that nobody can read among good ones, and strange events in good runs, on the input of each stage."""

from __future__ import annotations

from pathlib import Path

import anyio

from tests.system.consumers.feed import flush, producer_to
from tests.system.consumers.lane import Lane, judge_lanes
from tests.system.consumers.points import STAGES
from tests.system.consumers.verdict import Verdict

_UNREADABLE = 1 / 11
"""With it, one of each input's records on average to ten good ones."""
_STRANGE = 0.3
_AT_ONCE = 200


def read_hostile(bus: str, directory: Path, seed: int, records: int) -> Verdict:
    """Put `records` and a few more on the inputs of the three stages, and run each until it has read its own."""
    lanes = [
        Lane(stage, f"hostile-{stage}", bus, directory, seed, unreadable=_UNREADABLE, strange_runs=_STRANGE)
        for stage in STAGES
    ]
    producer = producer_to(bus)
    for lane in lanes:
        anyio.run(lane.create_topics)
        while lane.input.records < records / len(lanes):
            lane.input.feed(producer, _AT_ONCE)
        lane.input.finish(producer)
    flush(producer)
    return anyio.run(judge_lanes, lanes)
