"""What the runs of a list come to together, in the last line of `tailrace runs`.

With `sample.stubs`, a run that was dropped is in the store as a stub with its totals: each document counts once, and
the sums are those of all runs there were. Without stubs, and for words, which no stub holds, a kept run counts as often
as its `weight` says: sums that are right on average.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from tailrace.cli import wording
from tailrace.document import Summary

_COUNTS = {"actions": "action", "errors": "error"}


class Totals:
    """Sums without rounding, so that no order of the runs gives others."""

    def __init__(self, *, by_weight: bool) -> None:
        """`by_weight`: kept runs stand for the dropped ones; else each document stands for its own run."""
        self._by_weight = by_weight
        self.stubs = 0
        self.kept = 0
        """Runs that are there whole."""
        self.scaled = False
        """Whether any run counts otherwise than once."""
        self.runs = self.tokens = self.cost = Fraction()
        self.counts = dict.fromkeys(_COUNTS, Fraction())

    def add(self, summaries: Iterable[Summary]) -> None:
        for summary in summaries:
            self.stubs += summary.stub
            self.kept += not summary.stub
            weight = Fraction(max(0.0, summary.weight)) if self._by_weight else Fraction(1)
            self.scaled = self.scaled or weight != 1
            self.runs += weight
            self.tokens += weight * Fraction(summary.tokens.get("total", 0))
            self.cost += weight * Fraction(summary.cost_usd)
            for name in _COUNTS:
                self.counts[name] += weight * summary.counts.get(name, 0)

    def line(self) -> str:
        """`total: 2 runs, 2 actions, 212 tokens, $0.0131`; what is zero is left out, estimates begin with "about"."""
        runs = wording.counted(round(self.runs), "run")
        if self.scaled:
            runs = f"about {runs} ({self.kept:,} kept)"
        elif self.stubs:
            runs += f" ({self.kept:,} kept, {wording.counted(self.stubs, 'stub')})"
        parts = [runs]
        parts += [
            wording.counted(round(self.counts[name]), noun) for name, noun in _COUNTS.items() if self.counts[name]
        ]
        if self.tokens:
            parts.append(wording.counted(round(self.tokens), "token"))
        if self.cost:
            parts.append(wording.dollars(float(self.cost)))
        return f"total: {', '.join(parts)}"
