"""Sampling as settings: the policies, which runs each is for, and which share of them it keeps.

`sample.policies` is a list of them; the first that matches a run decides on it. They are plain values, to be written in
toml (`[[sample.policies]]`) and in Python alike; the sample stage makes functions of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

_LONG = 36_500 * 86_400.0

Names = str | list[str]
"""One or several; `*` and `?` stand for any characters, and one that fits is enough."""

AdaptiveKey = Literal["workflow", "status", "error", "agents", "tags", "session"]


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename={"not_": "not"}):
    """What a run must be. All that is given must hold; a condition that gives nothing holds for every run.

    `workflow` is known at a run's first event. The others are known when they have come true, else when the run has
    ended (or was silent for `sample.decision_wait`).
    """

    workflow: Names | None = None
    errors: bool | None = None
    """Something failed in it: an error, a log line of level ERROR or above, a node or the run that ended badly."""
    status: Names | None = None
    """Its final status, in any case of letters; `none` for a run that has not ended."""
    slower_than: float | None = None
    """Seconds from its first to its last event."""
    cost_over: float | None = None
    """US dollars."""
    tokens_over: float | None = None
    agent: Names | None = None
    """Some event is of that agent."""
    tag: Names | None = None
    action: Names | None = None
    """An action of that name was called."""
    custom: str | None = None
    """A function of one's own, `package.module:name` or an entry point of the group `tailrace.conditions`. It is given
    the run's `Facts` once, at the end, and says whether the policy matches."""
    any: list[Condition] = []
    all: list[Condition] = []
    not_: Condition | None = None


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which runs it decides on, and how. With neither a rate nor a limit it keeps all of them; with rate 0, none."""

    when: Condition = Condition()
    name: str | None = None
    """The `reason` in the documents; by default what `when` and the rate say."""
    rate: float | None = None
    """Share of these runs kept, 0 to 1, by a hash of the run id: the same on every machine and at every repetition."""
    adaptive_by: list[AdaptiveKey] = []
    """With `rate`: frequent combinations of these are kept less often than rare ones, so that about `rate` is kept of
    all runs together and none disappears."""
    runs_per_second: float | None = None
    """Keep at most so many of these runs, per worker."""
    bytes_per_second: float | None = None
    """Keep runs of at most so many bytes together, per worker."""


class SampleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which runs the sample stage keeps. A run is kept or dropped whole: by the first of `policies` that matches it,
    then by `keep_errors`, then by `rate`.
    """

    rate: float = 1.0
    """Share of runs kept, 0 to 1, decided by a hash of the run id."""
    keep_errors: bool = False
    """Also keep every run that has an error or ends in another status than success."""
    policies: list[Policy] = []
    """Finer rules, the first that matches decides. Not from the environment."""
    dry_run: bool = False
    """Keep every run, and say in its document what would have become of it."""
    stubs: bool = True
    """Leave a document without events for a dropped run: workflow, status, times, counts, tokens, cost."""
    decision_wait: float = 600.0
    """Seconds of silence after which an undecided run is decided with what has arrived."""
    grace: float = 2.0
    """Seconds after a run's end in which late events are still awaited before the decision."""
    max_held_bytes: int = 320 << 20
    """Bytes of undecided runs kept in memory. Beyond it they are read from the bus again if they are to be kept."""


Check = tuple[str, bool, str]
"""A setting's key, whether its value is good, and what it takes."""


def sample_checks(settings: SampleSettings) -> Iterator[Check]:
    """What no type says of the settings' values."""
    yield "sample.rate", 0 <= settings.rate <= 1, "a number from 0 to 1"
    for name in ("decision_wait", "grace"):
        yield f"sample.{name}", 0 <= getattr(settings, name) <= _LONG, "0 to 3153600000 seconds (100 years)"
    yield "sample.max_held_bytes", settings.max_held_bytes >= 0, "0 or more bytes"
    for number, policy in enumerate(settings.policies):
        key = f"sample.policies[{number}]"
        yield f"{key}.rate", policy.rate is None or 0 <= policy.rate <= 1, "a number from 0 to 1"
        for name in ("runs_per_second", "bytes_per_second"):
            value = getattr(policy, name)
            yield f"{key}.{name}", value is None or 0 < value < float("inf"), "a number over 0"
        given = [name for name in ("rate", "runs_per_second", "bytes_per_second") if getattr(policy, name) is not None]
        yield key, len(given) <= 1, f"one of {', '.join(given)}, not several"
        adapts = not policy.adaptive_by or (policy.rate is not None and policy.rate > 0)
        yield f"{key}.adaptive_by", adapts, "a rate over 0 beside it"
        yield from _condition_checks(policy.when, f"{key}.when")


def _condition_checks(condition: Condition, key: str) -> Iterator[Check]:
    for name in ("slower_than", "cost_over", "tokens_over"):
        value = getattr(condition, name)
        yield f"{key}.{name}", value is None or value >= 0, "0 or more"
    custom = condition.custom
    yield f"{key}.custom", custom is None or bool(custom), "`package.module:function` or the name of an entry point"
    for name, inner in (("any", condition.any), ("all", condition.all)):
        for number, each in enumerate(inner):
            yield from _condition_checks(each, f"{key}.{name}[{number}]")
    if condition.not_ is not None:
        yield from _condition_checks(condition.not_, f"{key}.not")
