"""The list of policies as one function: the first whose condition holds decides on the run."""

from __future__ import annotations

import enum
from collections import Counter

import msgspec

from tailrace.sampling import Condition, Policy, SampleSettings
from tailrace_consumers.sample.conditions import Test, always, compiled, described
from tailrace_consumers.sample.facts import NAMES, STATE, Facts
from tailrace_consumers.sample.outcomes import Choice, Outcome, choice_of


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What becomes of a run, and why."""

    keep: bool
    rate: float
    reason: str
    weight: float
    policy: int
    """Its place in the list."""


class Fate(enum.Enum):
    """What is sure of an undecided run, whatever else happens in it."""

    KEPT = "kept"
    DROPPED = "dropped"
    OPEN = "open"


class Outlook(msgspec.Struct, frozen=True, gc=False):
    """What can be said before a run's end."""

    fate: Fate
    decision: Decision | None = None
    """The decision; while it is not `sure`, the one of those possible with the greatest weight."""
    sure: bool = False


_OPEN = Outlook(Fate.OPEN)


class _Rule:
    def __init__(self, place: int, policy: Policy, test: Test) -> None:
        self.place = place
        self.test = test
        self.choice: Choice = choice_of(policy)
        self.name = policy.name or _reason(policy)

    def decision(self, outcome: Outcome) -> Decision:
        return Decision(outcome.keep, outcome.rate, self.name, outcome.weight, self.place)


class Policies:
    """The settings' policies, then errors (`keep_errors`), then the rate. Not thread-safe: limits have state.

    Raises:
        ConfigError: a condition's own function cannot be found.
    """

    def __init__(self, settings: SampleSettings) -> None:
        policies = list(settings.policies)
        if settings.keep_errors:
            policies.append(Policy(Condition(errors=True), name="error"))
        policies.append(Policy(name="rate", rate=settings.rate))
        self.failures: Counter[str] = Counter()
        """Of conditions' own functions, by name."""
        self.looks_at = STATE | (NAMES if any(_names(policy.when) for policy in policies) else 0)
        """What of a run may change the outlook, of what `Facts.hear` says."""
        self._rules = [
            _Rule(place, policy, compiled(policy.when, f"sample.policies[{place}].when", self.failures))
            for place, policy in enumerate(policies)
        ]

    @property
    def keeps_all(self) -> bool:
        """Whether the one policy there is keeps every run."""
        rule = self._rules[0]
        outcome = rule.choice.of_id("")
        return len(self._rules) == 1 and outcome is not None and outcome.rate >= 1.0

    def outlook(self, run: Facts) -> Outlook:
        """What is sure of a run that may go on; also of one that is known in part only."""
        possible: list[Decision] = []
        for rule in self._rules:
            answer = rule.test(run, False)
            if answer is False:
                continue
            outcome = rule.choice.of_id(run.run)
            if outcome is None:
                return _OPEN
            possible.append(rule.decision(outcome))
            if outcome.keep is not possible[0].keep:
                return _OPEN
            if answer:
                break
        fate = Fate.KEPT if possible[0].keep else Fate.DROPPED
        return Outlook(fate, max(possible, key=lambda each: each.weight), sure=len(possible) == 1)

    def decide(self, run: Facts, now: float, before: Decision | None = None) -> Decision:
        """The decision on a finished run. `before`: an earlier one, which stays if no other policy matches now."""
        for rule in self._rules:
            if rule.test is always or rule.test(run, True):
                if before is not None and before.policy == rule.place:
                    return before
                return rule.decision(rule.choice(run, now))
        raise AssertionError("the last policy is for every run")


def _names(condition: Condition) -> bool:
    """Whether it is about names of agents or actions."""
    inner = [*condition.any, *condition.all, *([condition.not_] if condition.not_ is not None else [])]
    return condition.agent is not None or condition.action is not None or any(map(_names, inner))


def _reason(policy: Policy) -> str:
    parts = [described(policy.when)]
    if policy.runs_per_second is not None:
        parts.append(f"{policy.runs_per_second:g} runs/s")
    elif policy.bytes_per_second is not None:
        parts.append(f"{policy.bytes_per_second:g} bytes/s")
    elif policy.adaptive_by:
        parts.append(f"rate {policy.rate:g} by {', '.join(policy.adaptive_by)}")
    elif policy.rate is not None:
        parts.append(f"rate {policy.rate:g}")
    return ", ".join(filter(None, parts)) or "always"
