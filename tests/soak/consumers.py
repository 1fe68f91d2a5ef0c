"""`make soak-consumers [KILLS=50] [CHANGES=200] [HOSTILE=1000000] [MINUTES=10] [SEED=...]`: exit code 1 on a fault.

Kills each stage at each point KILLS times, changes the groups' members CHANGES times, puts HOSTILE records that nobody
can read among ten times as many good ones, and kills a broker and a search server in turn for MINUTES. 0: not.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.servers import Kafka, OpenSearch, Server
from tests.soak.__main__ import delete_topics
from tests.system.consumers.changes import change_members
from tests.system.consumers.crashes import kill_everywhere
from tests.system.consumers.mixtures import read_hostile
from tests.system.consumers.outages import kill_servers
from tests.system.consumers.verdict import Verdict

_KILLS_A_ROUND = 5
_CHANGES_A_ROUND = 50
_HOSTILE_A_ROUND = 20_000
_ALL_PER_HOSTILE = 11


def main() -> int:
    kills, changes, hostile = (int(os.environ.get(name, "0")) for name in ("KILLS", "CHANGES", "HOSTILE"))
    minutes = float(os.environ.get("MINUTES", "0"))
    seed = int(os.environ.get("SEED") or time.time())
    with tempfile.TemporaryDirectory(prefix="tailrace-soak-") as directory:
        broker = Kafka(Path(directory, "kafka"))
        try:
            broker.start()
            broker.wait_ready()
            here = Path(directory)
            ok = _kill_stages(broker, here, seed, kills)
            ok = _change_groups(broker, here, seed, changes) and ok
            ok = _mix_hostile(broker, here, seed, hostile) and ok
            ok = (_kill_servers(broker, here, seed, minutes * 60) if minutes else True) and ok
        finally:
            broker.close()
    print("ok" if ok else "FAILED", flush=True)
    return 0 if ok else 1


def _kill_stages(broker: Server, directory: Path, seed: int, kills: int) -> bool:
    ok = True
    for done in range(0, kills, _KILLS_A_ROUND):
        times = min(_KILLS_A_ROUND, kills - done)
        ok = _say(f"KILLS={times}", seed + done, kill_everywhere(broker.url, directory, seed + done, times)) and ok
        delete_topics(broker, "crash-")
    return ok


def _change_groups(broker: Server, directory: Path, seed: int, changes: int) -> bool:
    ok = True
    for done in range(0, changes, _CHANGES_A_ROUND):
        count = min(_CHANGES_A_ROUND, changes - done)
        changed = change_members(broker.url, directory, seed + done, count, longest=2.0)
        ok = _say(f"CHANGES={count}", seed + done, changed) and ok
        delete_topics(broker, "changes-")
    return ok


def _mix_hostile(broker: Server, directory: Path, seed: int, hostile: int) -> bool:
    total, ok = Verdict(), True
    while total.hostile < hostile:
        seed_here, part = seed + total.hostile, min(_HOSTILE_A_ROUND, hostile - total.hostile)
        verdict = read_hostile(broker.url, directory, seed_here, part * _ALL_PER_HOSTILE)
        ok = _say(f"HOSTILE={part}", seed_here, verdict) and ok
        total.add(verdict)
        delete_topics(broker, "hostile-")
    if hostile:
        print(f"total: {total}", flush=True)
    return ok


def _kill_servers(broker: Server, directory: Path, seed: int, seconds: float) -> bool:
    search = OpenSearch(directory / "opensearch")
    try:
        search.start()
        search.wait_ready()
        outages = kill_servers(broker, search, directory, seed, seconds=seconds, away=3.0, pause=5.0)
    finally:
        search.close()
    return _say(f"MINUTES={seconds / 60:g}", seed, outages)


def _say(what: str, seed: int, outcome: Any) -> bool:
    print(outcome, flush=True)
    if not outcome.ok:
        print(f"FAILED; again with {what} SEED={seed}", flush=True)
    return bool(outcome.ok)


if __name__ == "__main__":
    sys.exit(main())
