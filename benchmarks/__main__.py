"""The command `python -m benchmarks`: tables on stdout, progress on stderr, everything into a JSON file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from benchmarks import report
from benchmarks.catalog import PEERS
from benchmarks.plan import QUICK, Plan
from benchmarks.run import run
from benchmarks.worker import MODES

RESULTS = Path(__file__).with_name("results")


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1: a measurement failed, or with --check a target was missed."""
    given = _parser().parse_args(arguments)
    if given.list:
        for peer in PEERS.values():
            print(f"{peer.name:16} {peer.sink:14} {(peer.__doc__ or '').splitlines()[0]}")
        return 0
    plan = _plan(given)
    done = report.of(run(plan, given.peers, given.modes, given.kafka), plan)
    report.write(done, given.output or RESULTS / ("quick.json" if plan.quick else "latest.json"))
    print(report.conditions(done), report.peers_table(done), report.targets_table(done), sep="\n\n")
    for line in report.footnotes(done):
        print(line)
    missed = given.check and any(target.verdict == "missed" for target in done.targets)
    return int(missed or any(row.error for row in done.rows))


def _plan(given: argparse.Namespace) -> Plan:
    sizes = {"rounds": given.rounds, "events": given.events, "outage_seconds": given.outage_seconds}
    plan = QUICK if given.quick else Plan()
    return msgspec.structs.replace(plan, **{name: size for name, size in sizes.items() if size is not None})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure logging calls side by side.")
    add = parser.add_argument
    add("--list", action="store_true", help="name the peers and what exactly is measured of each")
    add("--quick", action="store_true", help="one short round: a look, not a result")
    add("--peers", type=_among(PEERS), default=list(PEERS), help="names, with commas; default: all that are installed")
    add("--modes", type=_among(MODES), default=list(MODES), help=f"of {','.join(MODES)}; default: all")
    add("--rounds", type=int, help=f"default: {Plan().rounds}")
    add("--events", type=int, help=f"in a burst; default: {Plan().events}")
    add("--outage-seconds", type=float, help=f"default: {Plan().outage_seconds:.0f}; 600 is what is promised")
    add("--kafka", default="", metavar="HOST:PORT", help="a running Kafka; default: one is started")
    add("--output", type=Path, metavar="FILE", help="where the JSON goes; default: benchmarks/results/")
    add("--check", action="store_true", help="exit with 1 when a target is missed")
    return parser


def _among(known: Mapping[str, object]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        found = text.split(",")
        unknown = [name for name in found if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
        return found

    return names


if __name__ == "__main__":
    sys.exit(main())
