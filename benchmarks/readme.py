"""Writes the last run's tables into the README: `python -m benchmarks.readme`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks import report
from benchmarks.report import Report

BEGIN = "<!-- benchmarks: written by `python -m benchmarks.readme` -->"
END = "<!-- /benchmarks -->"
_ROOT = Path(__file__).resolve().parents[1]


class SectionError(Exception):
    """The README has no place for the tables, or the results are not fit to be shown."""


def section(done: Report) -> str:
    """The tables, and on what they were measured.

    Raises:
        SectionError: the run was a quick one.
    """
    if done.plan.quick:
        raise SectionError("these results are of a --quick run, which is too short to be published")
    return "\n\n".join((report.peers_table(done), report.targets_table(done), report.conditions(done)))


def rewritten(readme: str, text: str) -> str:
    """The README with what stands between the two marks replaced.

    Raises:
        SectionError: it has not each mark once, in order.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in after:
        raise SectionError(f"the README needs these two lines, once each:\n{BEGIN}\n{END}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme", description=__doc__)
    parser.add_argument("--results", type=Path, default=_ROOT / "benchmarks" / "results" / "latest.json")
    parser.add_argument("--readme", type=Path, default=_ROOT / "README.md")
    given = parser.parse_args(arguments)
    try:
        text = rewritten(given.readme.read_text(encoding="utf-8"), section(report.read(given.results)))
    except (SectionError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    given.readme.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
