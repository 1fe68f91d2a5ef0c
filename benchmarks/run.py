"""Goes through all peers in rounds: each measurement in a fresh process, in an order that every round shuffles."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks import servers
from benchmarks.catalog import PEERS, missing
from benchmarks.measure import Figures
from benchmarks.memory import used_before
from benchmarks.plan import Order, Plan
from benchmarks.worker import FIGURES

_ROOT = Path(__file__).resolve().parents[1]
_GRACE_SECONDS = 120.0
_ONCE = frozenset({"outage"})
"""Modes too long for every round."""
_THRICE = frozenset(
    {
        *(("tailrace_sqlite", "loop"), ("tailrace_kafka", "loop")),
        *(("tailrace_sqlite", "backlog"), ("tailrace_kafka", "backlog")),
        *(("tailrace_kafka", "sustained"), ("confluent_kafka", "sustained"), ("confluent_kafka_same", "sustained")),
    }
)
"""Peers and modes whose targets are tails, or rates over some seconds: one measurement of them tells for a good part
what else the machine did. Only where both sides of a target are in it."""


class Row(msgspec.Struct, frozen=True):
    """One measurement."""

    peer: str
    mode: str
    round: int
    figures: Figures
    error: str = ""
    load: float = 0.0
    """The machine's load average of the last minute, when it began."""


class Outcome(msgspec.Struct, frozen=True):
    """All measurements of one run."""

    rows: list[Row]
    left_out: dict[str, str]
    """Peer -> why it was not measured."""
    used_before_mib: int = 0
    """Of the free memory, how much was used once before anything was measured; 0: none, or that could not be done."""


def run(plan: Plan, names: Sequence[str], modes: Sequence[str], kafka: str = "") -> Outcome:
    """Measure the named peers in the named modes. `kafka`: `host:port` of a running one; empty: start one if needed."""
    left_out = {name: f"{package} is not installed" for name in names if (package := missing(PEERS[name]))}
    chosen = [name for name in names if name not in left_out]
    wanted = [(name, mode) for name in chosen for mode in modes if mode in PEERS[name].modes]
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tailrace-bench-")))
        if not kafka and any(PEERS[name].needs_kafka for name in chosen):
            kafka = stack.enter_context(servers.kafka(directory / "kafka"))
        if not kafka:
            left_out |= {name: "no Kafka" for name in chosen if PEERS[name].needs_kafka}
        http = stack.enter_context(servers.http_sink()) if any(PEERS[name].needs_http for name in chosen) else ""
        used = 0 if plan.quick else stack.enter_context(used_before())
        nowhere = stack.enter_context(servers.refused_port())
        rows = []
        for number in range(plan.rounds):
            due = [each for each in wanted if each[0] not in left_out and not (number and each[1] in _ONCE)]
            order = [each for each in due for _ in range(3 if each in _THRICE and not plan.quick else 1)]
            random.Random(number).shuffle(order)  # noqa: S311 - an order, the same in every run
            for name, mode in order:
                address = nowhere if mode == "outage" else kafka
                rows.append(_measured(directory, plan, name, mode, number, address, http))
    return Outcome(rows, left_out, used)


def _measured(directory: Path, plan: Plan, name: str, mode: str, number: int, kafka: str, http: str) -> Row:
    load = os.getloadavg()[0]
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(dir=directory, prefix="peer-", ignore_cleanup_errors=True) as own:
        order = Order(peer=name, mode=mode, directory=own, kafka=kafka, http=http, plan=plan)
        try:
            if mode == "backlog":
                _work(msgspec.structs.replace(order, peer="tailrace", mode="fill"))
            row = Row(name, mode, number, _work(order), load=load)
        except _FailedError as error:
            row = Row(name, mode, number, {}, str(error), load)
    state = row.error.splitlines()[-1] if row.error else "measured"
    print(f"round {number + 1}  {mode:9} {name:16} {time.monotonic() - begin:5.1f} s  {state}", file=sys.stderr)
    return row


class _FailedError(Exception):
    """A worker did not bring its figures; the end of what it said on stderr."""


def _work(order: Order) -> Figures:
    """What one worker process found; raises `_FailedError`."""
    command = [sys.executable, "-m", "benchmarks.worker", msgspec.json.encode(order).decode()]
    limit = _GRACE_SECONDS + order.plan.outage_seconds
    try:
        done = subprocess.run(
            command, cwd=order.directory, env=_environment(), capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _FailedError(f"it took longer than {limit:.0f} s") from error
    if done.returncode != 0:
        raise _FailedError(done.stderr.strip()[-2_000:] or f"exit code {done.returncode}")
    return msgspec.json.decode(Path(order.directory, FIGURES).read_bytes(), type=Figures)


def _environment() -> dict[str, str]:
    """No setting of the person who measures changes what is measured."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TAILRACE_", "OTEL_"))}
    return kept | {"PYTHONPATH": str(_ROOT)}
