"""The command `python -m benchmarks.consumers`: tables on stdout, progress on stderr, everything into a JSON file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from benchmarks.consumers import report
from benchmarks.consumers.plan import QUICK, Plan
from benchmarks.consumers.run import measurements, run

RESULTS = Path(__file__).parents[1] / "results"
MODES = list(dict.fromkeys(mode for mode, _ in measurements(Plan())))


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1: a measurement failed, or with --check a target was missed."""
    given = _parser().parse_args(arguments)
    plan = QUICK if given.quick else Plan()
    if given.rounds is not None:
        plan = msgspec.structs.replace(plan, rounds=given.rounds)
    done = report.of(run(plan, given.only), plan)
    name = "consumers-quick.json" if plan.quick else "consumers.json"
    report.write(done, given.output or RESULTS / name)
    tables = (report.figures_table(done), report.latency_table(done), report.targets_table(done))
    print(report.conditions(done), *filter(None, tables), sep="\n\n")
    for line in report.footnotes(done):
        print(line)
    missed = given.check and any(target.verdict == "missed" for target in done.targets)
    return int(missed or any(row.error for row in done.rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.consumers", description="Measure the consumers.")
    add = parser.add_argument
    add("--quick", action="store_true", help="one short round: a look, not a result")
    add("--only", type=_modes, default=MODES, metavar="NAMES", help=f"of {','.join(MODES)}; default: all")
    add("--rounds", type=int, help=f"default: {Plan().rounds}")
    add("--output", type=Path, metavar="FILE", help="where the JSON goes; default: benchmarks/results/")
    add("--check", action="store_true", help="exit with 1 when a target is missed")
    return parser


def _modes(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in MODES]:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(MODES)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
