"""Goes through all measurements in rounds: each in a fresh process, in an order that every round shuffles."""

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
from typing import NamedTuple

import msgspec

from benchmarks import servers
from benchmarks.consumers import job
from benchmarks.consumers.latency import RATE
from benchmarks.consumers.plan import FIGURES, Order, Plan
from benchmarks.measure import Figures
from benchmarks.memory import used_before
from benchmarks.run import Outcome, Row

_ROOT = Path(__file__).resolve().parents[2]
_LIMIT_SECONDS = 900.0
_PEERS = {"quix": ".venv-quix", "bytewax": ".venv-bytewax"}
"""Peer -> its environment, which `make bench-consumers` makes."""
_INTO_OPENSEARCH = ("index", "latency")


class Data(NamedTuple):
    """What stands on a topic for a measurement."""

    what: str
    """As in `fill.made`; `nothing`: the measurement makes its own."""
    kind: str
    """Of topic: `events`, `sampled` or `documents`."""
    runs: int
    open_at_once: int
    events: int


def measurements(plan: Plan) -> dict[tuple[str, str], Data]:
    """By mode and peer, in the order of the table."""
    both = ("events", plan.runs, plan.open_at_once, plan.runs * job.EVENTS_A_RUN)
    sampled = Data(both[0], "sampled", *both[1:])
    events = Data(both[0], "events", *both[1:])
    documents = Data("documents", "documents", plan.documents, 1, 0)
    small = plan.small_runs * job.SMALL_EVENTS_A_RUN
    return {
        ("job", "tailrace"): sampled,
        ("job", "quix"): sampled,
        ("job", "bytewax"): sampled,
        ("sample", "tailrace"): events,
        ("chain", "tailrace"): events,
        ("index", "tailrace"): documents,
        ("index", "streaming_bulk"): documents,
        ("index", "bulk_no_fields"): documents,
        ("index", "bulk_same_fields"): documents,
        ("open", "few"): Data("small", "sampled", plan.small_runs, min(plan.open_at_once, plan.small_runs), small),
        ("open", "many"): Data("small", "sampled", plan.small_runs, plan.small_runs, small),
        ("long", "tailrace"): Data("long", "sampled", plan.long_run, 1, plan.long_run),
        ("latency", "tailrace"): Data("nothing", "events", 0, 0, plan.latency_seconds * RATE),
    }


def run(plan: Plan, modes: Sequence[str]) -> Outcome:
    """Measure in the named modes. What cannot be measured here is named with the reason."""
    wanted = {name: data for name, data in measurements(plan).items() if name[0] in modes}
    left_out = {
        peer: f"there is no {_PEERS[peer]}; `make bench-consumers` makes it"
        for _, peer in wanted
        if peer in _PEERS and not _python(peer).exists()
    }
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tailrace-bench-")))
        kafka = stack.enter_context(servers.kafka(directory / "kafka"))
        if not kafka:
            return Outcome([], {"everything": "no Kafka"})
        opensearch = ""
        if needing := [mode for mode in _INTO_OPENSEARCH if mode in modes]:
            opensearch = stack.enter_context(servers.opensearch(directory / "opensearch"))
            if not opensearch:
                left_out |= dict.fromkeys(needing, "no OpenSearch")
        used = 0 if plan.quick else stack.enter_context(used_before())
        bench = _Bench(directory, kafka, opensearch, plan.warm_seconds)
        if "index" in modes and opensearch:  # whoever came first would have the server's code compiled
            for peer in ("streaming_bulk", "bulk_same_fields"):
                bench.measured("index", peer, wanted["index", peer], 0)
        rows = []
        for number in range(plan.rounds):
            names = [name for name in wanted if not left_out.keys() & {*name}]
            random.Random(number).shuffle(names)  # noqa: S311 - an order, the same in every run
            rows += [bench.measured(*name, wanted[name], number) for name in names]
    return Outcome(rows, left_out, used)


class _Bench:
    """The servers of a run, and the topics already filled."""

    def __init__(self, directory: Path, kafka: str, opensearch: str, warm_seconds: int) -> None:
        self._directory = directory
        self._kafka = kafka
        self._opensearch = opensearch
        self._filled: set[str] = set()
        self._warm_seconds = warm_seconds

    def measured(self, mode: str, peer: str, data: Data, number: int) -> Row:
        load, begin = os.getloadavg()[0], time.monotonic()
        # The chain reads what it writes, so that it needs topics of its own each time; and nobody else reads what the
        # sampler writes, which has the prefix of what it reads.
        made = f"{data.what}-{data.kind}-{data.runs}-{data.open_at_once}"
        prefix = f"chain-{number}" if mode == "chain" else made
        try:
            reads = self._topic(prefix, data)
            row = Row(peer, mode, number, self._work(mode, peer, prefix, reads, data), load=load)
        except _FailedError as error:
            row = Row(peer, mode, number, {}, str(error), load)
        state = row.error.splitlines()[-1] if row.error else "measured"
        took = time.monotonic() - begin
        print(f"round {number + 1}  {mode:8} {peer:16} {took:6.1f} s  {state}", file=sys.stderr)
        return row

    def _topic(self, prefix: str, data: Data) -> str:
        topic = f"{prefix}.documents" if data.kind == "documents" else f"{prefix}.{data.kind}.job"
        if data.what != "nothing" and topic not in self._filled:
            order = [self._kafka, topic, f"{prefix}.documents", data.what, str(data.runs), str(data.open_at_once)]
            _execute([sys.executable, "-m", "benchmarks.consumers.fill", *order], self._directory)
            self._filled.add(topic)
        return topic

    def _work(self, mode: str, peer: str, prefix: str, reads: str, data: Data) -> Figures:
        with tempfile.TemporaryDirectory(dir=self._directory, prefix="worker-") as own:
            group = f"bench-{Path(own).name.lower()}"
            order = Order(
                mode=mode,
                peer=peer,
                kafka=self._kafka,
                opensearch=self._opensearch if mode in _INTO_OPENSEARCH else "",
                directory=own,
                prefix=prefix,
                group=group,
                reads=reads,
                writes=f"{prefix}.documents",
                events=data.events,
                warm_seconds=self._warm_seconds,
                runs=data.runs,
            )
            _execute([*_command(peer), msgspec.json.encode(order).decode()], Path(own))
            return msgspec.json.decode(Path(own, FIGURES).read_bytes(), type=Figures)


class _FailedError(Exception):
    """A process did not do its work; the end of what it said on stderr."""


def _command(peer: str) -> list[str]:
    if peer in _PEERS:
        return [str(_python(peer)), str(Path(__file__).with_name("peers") / f"on_{peer}.py")]
    return [sys.executable, "-m", "benchmarks.consumers.worker"]


def _python(peer: str) -> Path:
    return _ROOT / _PEERS[peer] / "bin" / "python"


def _execute(command: list[str], directory: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    environment = kept | {"PYTHONPATH": str(_ROOT)}
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _FailedError(f"it took longer than {_LIMIT_SECONDS:.0f} s") from error
    if done.returncode != 0:
        raise _FailedError(done.stderr.strip()[-2_000:] or f"exit code {done.returncode}")
