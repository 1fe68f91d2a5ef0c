"""What the logging call must reach, as ratios and differences of figures of one run."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple

import msgspec

from benchmarks.measure import Figures
from benchmarks.run import Row

Found = Mapping[tuple[str, str], Figures]
"""(mode, peer) -> each figure over the rounds."""

_LEAST = (
    *("wall_ns", "mean_ns", "process_cpu_ns", "elsewhere_cpu_ns", "total_cpu_ns", "caller_cpu_ns"),
    *("wall_s", "cpu_s"),
)
_MOST = ("delivered_per_s",)
"""Costs of work, which whatever else runs on the host only makes dearer: of those the best round counts, as the
standard library's `timeit` has it. Of all others, costs in floors among them, the median round."""

Verdict = Literal["aim", "must", "missed", "not measured"]


class Target(NamedTuple):
    """A limit that must hold, and a better one that is aimed at."""

    what: str
    must: float
    aim: float
    measure: Callable[[Found], float]
    """Raises KeyError where a peer was not measured."""
    at_least: bool = False
    """Whether more is better."""


class Judged(msgspec.Struct, frozen=True):
    """A target beside what was found. `value` is None where something was not measured."""

    what: str
    must: float
    aim: float
    at_least: bool
    value: float | None
    verdict: Verdict


def _ratio(mode: str, figure: str, peer: str, other: str) -> Callable[[Found], float]:
    return lambda found: found[mode, peer][figure] / found[mode, other][figure]


def _tail(kind: str, peer: str) -> Callable[[Found], float]:
    """How much dearer the dearest call in a thousand is than the middle one."""
    return lambda found: found["call", peer][f"{kind}_p999_ns"] / found["call", peer][f"{kind}_p50_ns"]


def _lateness(mode: str, peer: str) -> Callable[[Found], float]:
    """Milliseconds that logging adds to the ticker's p99.9, of the same process in turns."""
    return lambda found: found[mode, peer]["added_p999_ms"]


def _floors(figure: str, peer: str) -> Callable[[Found], float]:
    """In units of the floor, which each peer measures beside itself."""
    return lambda found: found["call", peer][figure]


TARGETS = (
    Target("call, wall time / floor", 3.5, 2.5, _floors("wall_floors", "tailrace")),
    Target("call, wall time / structlog", 0.65, 0.5, _ratio("call", "wall_floors", "tailrace", "structlog")),
    Target("call, wall time / picologging", 0.65, 0.5, _ratio("call", "wall_floors", "tailrace", "picologging")),
    Target(
        "call with an override for others / with none",
        1.3,
        1.15,
        _ratio("call", "wall_floors", "tailrace_override_elsewhere", "tailrace"),
    ),
    Target(
        "call with an override that matches / with none",
        3.0,
        2.0,
        _ratio("call", "wall_floors", "tailrace_override_matching", "tailrace"),
    ),
    Target("p99.9 / median of calls in a burst, SQLite bus", 20, 10, _tail("single", "tailrace_sqlite")),
    Target("p99.9 / median of calls in a burst, Kafka", 20, 10, _tail("single", "tailrace_kafka")),
    Target("p99.9 / median of calls at 2,000/s, SQLite bus", 20, 10, _tail("paced", "tailrace_sqlite")),
    Target("p99.9 / median of calls at 2,000/s, Kafka", 20, 10, _tail("paced", "tailrace_kafka")),
    Target("ticker's p99.9 over no logging, SQLite bus, ms", 0.5, 0.2, _lateness("loop", "tailrace_sqlite")),
    Target("ticker's p99.9 over no logging, Kafka, ms", 0.5, 0.2, _lateness("loop", "tailrace_kafka")),
    Target("the same while a backlog drains, SQLite bus, ms", 0.5, 0.2, _lateness("backlog", "tailrace_sqlite")),
    Target("the same while a backlog drains, Kafka, ms", 0.5, 0.2, _lateness("backlog", "tailrace_kafka")),
    Target(
        "CPU of the process until Kafka acknowledged / floor", 6, 4.5, _floors("process_cpu_floors", "tailrace_kafka")
    ),
    Target("the same, with its companion's", 6, 4.5, _floors("total_cpu_floors", "tailrace_kafka")),
    Target(
        "events/s into Kafka / confluent-kafka",
        0.7,
        1,
        _ratio("sustained", "delivered_per_s", "tailrace_kafka", "confluent_kafka"),
        at_least=True,
    ),
    Target(
        "events/s into Kafka / confluent-kafka with the same record",
        0.7,
        1,
        _ratio("sustained", "delivered_per_s", "tailrace_kafka", "confluent_kafka_same"),
        at_least=True,
    ),
    Target("memory over an outage, MiB", 32, 16, lambda found: found["outage", "tailrace_kafka"]["growth_mib"]),
)


def over_rounds(rows: Iterable[Row]) -> Found:
    found: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for figure, value in row.figures.items():
            found[row.mode, row.peer][figure].append(value)
    return {
        place: {figure: _of_rounds(figure, values) for figure, values in figures.items()}
        for place, figures in found.items()
    }


def _of_rounds(figure: str, values: list[float]) -> float:
    if figure in _LEAST:
        return min(values)
    return max(values) if figure in _MOST else statistics.median(values)


def judge(found: Found, targets: Iterable[Target] = TARGETS) -> list[Judged]:
    judged = []
    for target in targets:
        try:
            value = target.measure(found)
        except KeyError:
            value = None
        verdict = _verdict(target, value)
        judged.append(Judged(target.what, target.must, target.aim, target.at_least, value, verdict))
    return judged


def _verdict(target: Target, value: float | None) -> Verdict:
    if value is None:
        return "not measured"
    sign = -1 if target.at_least else 1
    if sign * value <= sign * target.aim:
        return "aim"
    return "must" if sign * value <= sign * target.must else "missed"
