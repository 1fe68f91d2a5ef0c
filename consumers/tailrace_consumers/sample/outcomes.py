"""What becomes of a run that a policy matches: kept or not, how likely that was, and for how many runs it stands."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Protocol

import msgspec

from tailrace.sampling import Policy
from tailrace_consumers.sample.adaptive import Adaptive
from tailrace_consumers.sample.facts import Facts


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """Whether to keep a run, its probability, and its weight in totals that are scaled up (0 if it is dropped)."""

    keep: bool
    rate: float
    weight: float


class Choice(Protocol):
    """How a policy decides on the runs that it matches."""

    def of_id(self, run_id: str) -> Outcome | None:
        """The outcome where the run's id alone says it, the same at every call; None where more is needed."""
        ...

    def __call__(self, run: Facts, now: float) -> Outcome:
        """The outcome of a finished run. Called once for each, because limits count the calls."""
        ...


_ALWAYS = Outcome(keep=True, rate=1.0, weight=1.0)


class ByRate:
    """Keeps a share of all run ids."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._kept = _kept(rate) if rate else _ALWAYS
        self._dropped = Outcome(keep=False, rate=rate, weight=0.0)

    def of_id(self, run_id: str) -> Outcome | None:
        if self._rate >= 1.0:
            return self._kept
        return self._kept if self._rate and share(run_id) < self._rate else self._dropped

    def __call__(self, run: Facts, now: float) -> Outcome:  # noqa: ARG002 - no state
        return self.of_id(run.run) or self._dropped


class Limit:
    """Keeps runs while a bucket of tokens lasts that fills at a steady rate.

    A kept run stands for itself and for those dropped since the one before it, so that the weights sum up to the runs
    that came; for tokens and cost they are an estimate.
    """

    def __init__(self, per_second: float, price: Callable[[Facts], float]) -> None:
        """`price`: the tokens that a run takes. The bucket holds those of one second, at least one run's."""
        self._per_second = per_second
        self._price = price
        self._tokens = max(1.0, per_second)
        self._at: float | None = None
        self._dropped = 0

    def of_id(self, run_id: str) -> Outcome | None:  # noqa: ARG002
        return None

    def __call__(self, run: Facts, now: float) -> Outcome:
        room = max(1.0, self._per_second)
        if self._at is not None and now > self._at:
            self._tokens = min(room, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        # A run dearer than a full bucket is paid for afterwards, or it could never be kept.
        if self._tokens < min(room, self._price(run)):
            self._dropped += 1
            return Outcome(keep=False, rate=1.0 / (1 + self._dropped), weight=0.0)
        self._tokens -= self._price(run)
        weight, self._dropped = 1.0 + self._dropped, 0
        return Outcome(keep=True, rate=1.0 / weight, weight=weight)


class ByKey:
    """Keeps a share of all runs, of frequent kinds a smaller one."""

    def __init__(self, rate: float, keys: Sequence[str]) -> None:
        self._rates = Adaptive(rate)
        self._keys = [_KEYS[name] for name in keys]

    def of_id(self, run_id: str) -> Outcome | None:  # noqa: ARG002
        return None

    def __call__(self, run: Facts, now: float) -> Outcome:
        rate = self._rates.rate("\0".join(of(run) for of in self._keys), now)
        return _kept(rate) if share(run.run) < rate else Outcome(keep=False, rate=rate, weight=0.0)


_KEYS: dict[str, Callable[[Facts], str]] = {
    "workflow": lambda run: run.workflow,
    "status": lambda run: (run.status or "none").lower(),
    "error": lambda run: "error" if run.failed else "",
    "agents": lambda run: "\1".join(sorted(run.agents)),
    "tags": lambda run: "\1".join(sorted(run.tags)),
    "session": lambda run: run.session or "",
}


def choice_of(policy: Policy) -> Choice:
    if policy.runs_per_second is not None:
        return Limit(policy.runs_per_second, lambda run: 1.0)  # noqa: ARG005
    if policy.bytes_per_second is not None:
        return Limit(policy.bytes_per_second, lambda run: float(run.bytes))
    if policy.adaptive_by and policy.rate is not None:
        return ByKey(policy.rate, policy.adaptive_by)
    return ByRate(1.0 if policy.rate is None else policy.rate)


@lru_cache(maxsize=16_384)
def share(run_id: str) -> float:
    """A number from 0 up to but not 1, even over all run ids, and always the same for one."""
    digest = hashlib.blake2b(run_id.encode("utf-8", "surrogatepass"), digest_size=6).digest()
    return int.from_bytes(digest, "big") / (1 << 48)


def _kept(rate: float) -> Outcome:
    return Outcome(keep=True, rate=rate, weight=1.0 / rate)
