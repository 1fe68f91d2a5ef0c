"""One run as a document: what was measured, on what, and its two tables in Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from benchmarks.catalog import PEERS, versions
from benchmarks.measure import Figures
from benchmarks.plan import Plan
from benchmarks.run import Outcome, Row
from benchmarks.targets import Judged, judge, over_rounds

_COLUMNS = (
    "",
    "ends in",
    "call, µs",
    "x floor",
    "CPU in all, µs",
    "burst p99.9, µs",
    "paced p50, µs",
    "paced p99.9, µs",
    "loop late p99.9, ms",
    "the same without calls, ms",
    "delivered",
    "RAM, MiB",
)


class Machine(msgspec.Struct, frozen=True):
    """On what a run was measured."""

    cpu: str
    cores: int
    system: str
    python: str


class Report(msgspec.Struct, frozen=True):
    """What `benchmarks/results/latest.json` holds."""

    measured_at: str
    machine: Machine
    versions: dict[str, str]
    plan: Plan
    targets: list[Judged]
    left_out: dict[str, str]
    rows: list[Row]
    used_before_mib: int = 0
    """As in `Outcome`."""


def of(outcome: Outcome, plan: Plan) -> Report:
    """The run that just ended, on this machine."""
    return Report(
        datetime.now(UTC).isoformat(timespec="seconds"),
        machine(),
        versions(),
        plan,
        judge(over_rounds(outcome.rows)),
        outcome.left_out,
        outcome.rows,
        outcome.used_before_mib,
    )


def machine() -> Machine:
    """On which it is asked."""
    system = f"{platform.system()} {platform.release()}"
    return Machine(_cpu(), os.cpu_count() or 1, system, platform.python_version())


def write(report: Report, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def read(path: Path) -> Report:
    return msgspec.json.decode(path.read_bytes(), type=Report)


class HasTargets(Protocol):
    """A report of any kind."""

    @property
    def targets(self) -> list[Judged]: ...


def peers_table(report: Report) -> str:
    """Each peer over the rounds, the cheapest call first."""
    found = over_rounds(report.rows)
    calls = {peer: figures for (mode, peer), figures in found.items() if mode == "call"}
    lines = [
        _peer_line(peer, figures, found.get(("loop", peer), {}))
        for peer, figures in sorted(calls.items(), key=lambda item: item[1]["wall_ns"])
    ]
    return table(_COLUMNS, lines)


def targets_table(report: HasTargets) -> str:
    lines = [
        [
            target.what,
            "-" if target.value is None else f"{target.value:.2f}",
            f"{'at least' if target.at_least else 'at most'} {target.must:g}",
            f"{target.aim:g}",
            target.verdict,
        ]
        for target in report.targets
    ]
    return table(("target", "measured", "must", "aim", "reached"), lines)


def conditions(report: Report) -> str:
    """On what and how it was measured, in one paragraph."""
    plan, on = report.plan, report.machine
    packages = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    load = max((row.load for row in report.rows), default=0.0)
    return (
        f"{report.measured_at[:10]}, {on.cpu}, {on.cores} cores, {on.system}, Python {on.python}; "
        f"{plan.rounds} round{'s' * (plan.rounds > 1)}, each in a fresh process: "
        "of call, CPU and events/s the best one, of all else the median; "
        "tickers and rates that a target compares three times a round; "
        "what is given in floors was taken in turns with the floor in the same process, "
        "tickers with and without calls likewise; "
        f"bursts of {plan.events:,} events of about 735 B, then {plan.rate:,}/s; "
        f"an outage of {plan.outage_seconds:.0f} s at that rate; "
        f"{of_memory(report.used_before_mib)}highest load average at a start {load:.1f}. {packages}."
    )


def of_memory(used_before_mib: int) -> str:
    return f"{used_before_mib:,} MiB of free memory used once before; " if used_before_mib else ""


def footnotes(report: Report) -> list[str]:
    """What failed or was left out, a line each."""
    failed = [f"{row.peer} {row.mode}: {row.error.splitlines()[-1]}" for row in report.rows if row.error]
    return [*failed, *(f"{peer}: left out, {why}" for peer, why in report.left_out.items())]


def _peer_line(peer: str, call: Figures, loop: Figures) -> list[str]:
    return [
        peer,
        PEERS[peer].sink if peer in PEERS else "",
        shown(call.get("wall_ns"), 1_000, 2),
        shown(call.get("wall_floors"), 1, 1),
        shown(call.get("total_cpu_ns"), 1_000, 2),
        shown(call.get("single_p999_ns"), 1_000, 0),
        shown(call.get("paced_p50_ns"), 1_000, 1),
        shown(call.get("paced_p999_ns"), 1_000, 0),
        shown(loop.get("late_p999_ms"), 1, 2),
        shown(loop.get("calm_p999_ms"), 1, 2),
        "-" if "delivered_share" not in call else f"{call['delivered_share']:.0%}",
        shown(call.get("rss_mib"), 1, 0),
    ]


def shown(value: float | None, unit: float | None, digits: int) -> str:
    return "-" if value is None or not unit else f"{value / unit:.{digits}f}"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Markdown, in columns of even width, so that it can also be read as it is."""
    widths = [max(len(line[column]) for line in (head, *lines)) for column in range(len(head))]
    rule = ["-" * width if column == 0 else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    rows = [_row(head, widths), _row(rule, widths), *(_row(line, widths) for line in lines)]
    return "\n".join(rows)


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if column == 0 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return f"| {' | '.join((first, *others))} |"


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
