"""One run as a document: what was measured, on what, and its two tables in Markdown."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks.consumers.plan import Plan
from benchmarks.consumers.targets import TARGETS
from benchmarks.report import Machine, machine, of_memory, shown, table, targets_table
from benchmarks.run import Outcome, Row
from benchmarks.targets import Judged, judge, over_rounds

__all__ = ["Report", "figures_table", "footnotes", "latency_table", "of", "read", "targets_table", "write"]

_COLUMNS = ("", "", "a second", "CPU, µs each", "documents", "RAM at most, MiB")
_LATENCY_COLUMNS = ("1,000 calls a second, from the call to", "calls", "p50, ms", "p99, ms", "at most, ms")
_READERS = {
    "published": "its event on the events topic",
    "sampled": "its event on the sampled topic",
    "joined": "a document of it on the documents topic",
    "tailed": "its line from `tailrace tail -f`",
    "shown": "its run's document by id holding it, OpenSearch",
    "found": "its run in a search counting it, OpenSearch",
}
_WHAT = {
    "job": "aggregate: 50 events a run, 700 B each",
    "sample": "sample: errors and half of the runs",
    "chain": "all three, into SQLite",
    "index": "index: documents of 15 kB",
    "open": "aggregate: 20 events a run, 300 B each",
    "long": "aggregate: one run",
}


class Report(msgspec.Struct, frozen=True):
    """What `benchmarks/results/consumers.json` holds."""

    measured_at: str
    machine: Machine
    plan: Plan
    targets: list[Judged]
    left_out: dict[str, str]
    rows: list[Row]
    used_before_mib: int = 0
    """As in `Outcome`."""


def of(outcome: Outcome, plan: Plan) -> Report:
    """The run that just ended, on this machine."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    judged = judge(over_rounds(outcome.rows), TARGETS)
    return Report(now, machine(), plan, judged, outcome.left_out, outcome.rows, outcome.used_before_mib)


def write(report: Report, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def read(path: Path) -> Report:
    return msgspec.json.decode(path.read_bytes(), type=Report)


def figures_table(report: Report) -> str:
    """Each over the rounds. Events are counted, where there are none documents."""
    lines = []
    for (mode, peer), figures in over_rounds(report.rows).items():
        if mode not in _WHAT:
            continue
        counted = figures.get("events") or figures["documents"]
        lines.append(
            [
                _WHAT[mode],
                peer,
                f"{counted / figures['wall_s']:,.0f}",
                shown(figures["cpu_s"], counted / 1e6, 1),
                shown(figures.get("documents"), 1, 0),
                shown(figures.get("peak_mib"), 1, 0),
            ]
        )
    return table(_COLUMNS, sorted(lines)) if lines else ""


def latency_table(report: Report) -> str:
    """From a call to who reads; empty where that was not measured. Medians of the rounds."""
    figures = over_rounds(report.rows).get(("latency", "tailrace"))
    if figures is None:
        return ""
    lines = [
        [
            what,
            f"{figures[f'{reader}_events']:,.0f}",
            *(shown(figures[f"{reader}_{quantile}_s"], 1e-3, 0) for quantile in ("p50", "p99", "max")),
        ]
        for reader, what in _READERS.items()
    ]
    return table(_LATENCY_COLUMNS, lines)


def conditions(report: Report) -> str:
    """On what and how it was measured, in one paragraph."""
    plan, on = report.plan, report.machine
    load = max((row.load for row in report.rows), default=0.0)
    return (
        f"{report.measured_at[:10]}, {on.cpu}, {on.cores} cores, which the servers share, {on.system}, "
        f"Python {on.python}; {plan.rounds} round{'s' * (plan.rounds > 1)}, each in a fresh process: "
        "of times and CPU the best one, of all else the median; "
        f"{of_memory(report.used_before_mib)}highest load average at a start {load:.1f}."
    )


def footnotes(report: Report) -> list[str]:
    """What failed or was left out, a line each."""
    failed = [f"{row.peer} {row.mode}: {row.error.splitlines()[-1]}" for row in report.rows if row.error]
    return [*failed, *(f"{peer}: left out, {why}" for peer, why in report.left_out.items())]
