"""Writes the last runs' tables into the README: `python -m benchmarks.readme`.

Those of `make bench` and those of `make bench-consumers` have a place each; one that has no results is left as it is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks import report
from benchmarks.consumers import report as consumers
from benchmarks.report import Report


class Marks(NamedTuple):
    """The two lines between which tables stand."""

    begin: str
    end: str


LOGGING = Marks("<!-- benchmarks: written by `python -m benchmarks.readme` -->", "<!-- /benchmarks -->")
CONSUMERS = Marks("<!-- consumers: written by `python -m benchmarks.readme` -->", "<!-- /consumers -->")
_ROOT = Path(__file__).resolve().parents[1]
_RESULTS = _ROOT / "benchmarks" / "results"


class SectionError(Exception):
    """The README has no place for the tables, or the results are not fit to be shown."""


def section(done: Report) -> str:
    """The tables of the logging call, and on what they were measured.

    Raises:
        SectionError: the run was a quick one.
    """
    _refuse_quick(quick=done.plan.quick)
    return "\n\n".join((report.peers_table(done), report.targets_table(done), report.conditions(done)))


def consumers_section(done: consumers.Report) -> str:
    """As `section`, of the consumers; what was not measured is said below."""
    _refuse_quick(quick=done.plan.quick)
    tables = (consumers.figures_table(done), consumers.latency_table(done), consumers.targets_table(done))
    notes = "\n".join(f"- {line}" for line in consumers.footnotes(done))
    return "\n\n".join(filter(None, (*tables, consumers.conditions(done), notes)))


def _refuse_quick(*, quick: bool) -> None:
    if quick:
        raise SectionError("these results are of a --quick run, which is too short to be published")


def rewritten(readme: str, text: str, marks: Marks = LOGGING) -> str:
    """The README with what stands between the two marks replaced.

    Raises:
        SectionError: it has not each mark once, in order.
    """
    before, begin, rest = readme.partition(marks.begin)
    _, end, after = rest.partition(marks.end)
    if not (begin and end) or marks.begin in rest or marks.end in after:
        raise SectionError(f"the README needs these two lines, once each:\n{marks.begin}\n{marks.end}")
    return f"{before}{marks.begin}\n\n{text}\n\n{marks.end}{after}"


def _with_results(readme: str, logging: Path, of_consumers: Path) -> str:
    if not logging.exists() and not of_consumers.exists():
        raise SectionError(f"neither {logging} nor {of_consumers} is there")
    if logging.exists():
        readme = rewritten(readme, section(report.read(logging)))
    if of_consumers.exists():
        readme = rewritten(readme, consumers_section(consumers.read(of_consumers)), CONSUMERS)
    return readme


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1, and why on stderr: nothing was written."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme", description=__doc__)
    parser.add_argument("--results", type=Path, default=_RESULTS / "latest.json", help="of make bench")
    parser.add_argument("--consumers", type=Path, default=_RESULTS / "consumers.json", help="of make bench-consumers")
    parser.add_argument("--readme", type=Path, default=_ROOT / "README.md")
    given = parser.parse_args(arguments)
    try:
        text = _with_results(given.readme.read_text(encoding="utf-8"), given.results, given.consumers)
    except (SectionError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    given.readme.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
