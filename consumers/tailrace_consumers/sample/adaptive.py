"""A rate for each key, so that about one share is kept of all runs together and rare keys are kept more often.

The formula is that of Honeycomb's `EMASampleRate` (github.com/honeycombio/dynsampler-go, used by Refinery's
EMADynamicSampler). At each interval, for every key k with c(k) runs in it:

    average(k) = weight * c(k) + (1 - weight) * average(k)        forgotten below 0.5
    wanted     = share * sum over k of max(1, average(k))         the runs to keep in an interval
    goal(k)    = max(1, wanted * log10(average(k)) / sum over k of log10(average(k)))
    rate(k)    = min(1, goal(k) / average(k))

What a key needs less than its goal is shared among the keys after it, rarest first. At least one run of each key is
wanted, so with very many keys more than the share is kept. In the first interval every key has the share as its rate;
later a new key is kept whole until its first interval is over.
"""

from __future__ import annotations

import math
from collections import Counter

INTERVAL = 15.0
"""Seconds of the stage's time."""
WEIGHT = 0.5
MAX_KEYS = 500
"""Keys in an interval, as Refinery's default; further ones share one."""
_OLD = 0.5
_OTHERS = "others"


class Adaptive:
    """The rates by key for one share. State is per worker; a restart learns anew."""

    def __init__(self, share: float, *, interval: float = INTERVAL, max_keys: int = MAX_KEYS) -> None:
        self._share = share
        self._interval = interval
        self._max_keys = max_keys
        self._seen: Counter[str] = Counter()
        self._averages: dict[str, float] = {}
        self._rates: dict[str, float] = {}
        self._since: float | None = None

    def rate(self, key: str, now: float) -> float:
        """How likely this run, one more of the key, is to be kept."""
        if self._since is None or now < self._since:
            self._since = now
        elif now >= self._since + self._interval:
            self._since = now
            self._adjust()
        if key not in self._seen and len(self._seen) >= self._max_keys:
            key = _OTHERS
        self._seen[key] += 1
        return self._rates.get(key, 1.0) if self._rates else self._share

    def _adjust(self) -> None:
        seen, self._seen = self._seen, Counter()
        averages = {
            key: WEIGHT * seen[key] + (1 - WEIGHT) * self._averages.get(key, seen[key])
            for key in self._averages.keys() | seen.keys()
        }
        self._averages = {key: average for key, average in averages.items() if average >= _OLD}
        self._rates = rates(self._averages, self._share)


def rates(averages: dict[str, float], share: float) -> dict[str, float]:
    """The rate of each key, from its runs in an interval."""
    counts = sorted((max(1.0, average), key) for key, average in averages.items())
    wanted = share * sum(count for count, _ in counts)
    logs = math.fsum(math.log10(count) for count, _ in counts)
    found: dict[str, float] = {}
    spare = 0.0
    for place, (count, key) in enumerate(counts):
        extra = spare / (len(counts) - place)
        spare -= extra
        goal = max(1.0, wanted * math.log10(count) / logs if logs else 0.0) + extra
        found[key] = min(1.0, goal / count)
        spare += max(0.0, goal - count)
    return found
