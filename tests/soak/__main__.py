"""`make soak [MINUTES=10] [SEED=...] [RESTARTS=20] [OUTAGE=60]`: count until the time is over; exit code 1 on a fault.

Kills agents for MINUTES, then restarts the broker RESTARTS times, then takes it away for OUTAGE seconds (0: not).
With SEED it runs that one batch of kills again.
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient

from tests.servers import Kafka, Server
from tests.soak.check import Verdict
from tests.soak.kills import kill_batch
from tests.soak.restarts import outage, restart_under_load

_ROUNDS = 50
_MOST_GROWTH = 32 << 20


def main() -> int:
    minutes, restarts, away = (float(os.environ.get(name, "0")) for name in ("MINUTES", "RESTARTS", "OUTAGE"))
    with tempfile.TemporaryDirectory(prefix="tailrace-soak-") as directory:
        broker = Kafka(Path(directory, "kafka"))
        try:
            broker.start()
            broker.wait_ready()
            seed = os.environ.get("SEED")
            ok = _kills(broker, Path(directory), minutes, int(seed) if seed else None)
            ok = _restarts(broker, _settings(broker, directory, "restarts"), int(restarts)) and ok
            ok = _outage(broker, _settings(broker, directory, "outage"), away) and ok
        finally:
            broker.close()
    print("ok" if ok else "FAILED", flush=True)
    return 0 if ok else 1


def _settings(broker: Server, directory: str, name: str) -> dict[str, Any]:
    return {"bus": broker.url, "home": str(Path(directory, name)), "prefix": f"soak-{name}"}


def _kills(broker: Server, directory: Path, minutes: float, only: int | None) -> bool:
    total, rounds, ok = Verdict(), 0, True
    begin = time.monotonic()
    seeds = itertools.count(time.time_ns() // 1_000_000_000) if only is None else [only]
    for seed in seeds:
        if only is None and time.monotonic() - begin >= minutes * 60:
            break
        since = time.monotonic()
        with tempfile.TemporaryDirectory(dir=directory) as home:
            verdict = kill_batch(broker.url, Path(home), seed, _ROUNDS)
        delete_topics(broker, f"soak-{seed}.")
        rounds += _ROUNDS
        total.add(verdict)
        print(f"{_ROUNDS} rounds: {verdict}; {time.monotonic() - since:.0f} s", flush=True)
        if not verdict.ok:
            ok = False
            print(f"FAILED; again with SEED={seed}", flush=True)
    if rounds:
        print(f"total of {rounds:,} rounds: {total}; {time.monotonic() - begin:.0f} s", flush=True)
    return ok


def delete_topics(broker: Server, prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker.address})
    names = [name for name in admin.list_topics(timeout=20).topics if name.startswith(prefix)]
    for done in admin.delete_topics(names).values():
        done.result(20)


def _restarts(broker: Server, settings: dict[str, Any], restarts: int) -> bool:
    if not restarts:
        return True
    seconds: list[float] = []
    verdict, ending = restart_under_load(broker, settings, restarts, seconds.append)
    print(f"{restarts} restarts: {verdict}; next record after {[round(each, 2) for each in seconds]} s", flush=True)
    print(f"the worst call took {ending.worst * 1000:.1f} ms, {ending.dropped} dropped", flush=True)
    return verdict.ok and ending.reached and not ending.dropped


def _outage(broker: Server, settings: dict[str, Any], seconds: float) -> bool:
    if not seconds:
        return True
    took = outage(broker, settings, seconds)
    print(
        f"{seconds:.0f} s without a broker: {took.waiting:,} events waited, memory grew by {took.grown / 2**20:.1f} MiB"
    )
    print(f"  {took.verdict}; the worst call took {took.ending.worst * 1000:.1f} ms", flush=True)
    return took.verdict.ok and took.ending.reached and took.grown < _MOST_GROWTH


if __name__ == "__main__":
    sys.exit(main())
