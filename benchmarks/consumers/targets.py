"""What the consumers must reach: ratios of figures of one run, and limits of memory."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.targets import Found, Target

_OURS = "tailrace"


def _rate(found: Found, mode: str, peer: str, counted: str = "events") -> float:
    figures = found[mode, peer]
    return figures[counted] / figures["wall_s"]


def _ratio(mode: str, other: tuple[str, str], counted: str = "events", peer: str = _OURS) -> Callable[[Found], float]:
    """How many times as much as the other a second."""
    return lambda found: _rate(found, mode, peer, counted) / _rate(found, *other, counted)


def _after(figure: str) -> Callable[[Found], float]:
    return lambda found: found["latency", _OURS][figure]


TARGETS = (
    Target("aggregate, events/s", 60_000, 60_000, lambda found: _rate(found, "job", _OURS), at_least=True),
    Target("aggregate / Quix Streams, events/s", 2.5, 4, _ratio("job", ("job", "quix")), at_least=True),
    Target("aggregate / Bytewax, events/s", 1.8, 3, _ratio("job", ("job", "bytewax")), at_least=True),
    Target("sample, errors and rate / aggregate, events/s", 1, 1.5, _ratio("sample", ("job", _OURS)), at_least=True),
    Target(
        "all three into SQLite, events/s", 12_000, 25_000, lambda found: _rate(found, "chain", _OURS), at_least=True
    ),
    Target(
        "index into OpenSearch / streaming_bulk, documents/s",
        0.7,
        0.9,
        _ratio("index", ("index", "streaming_bulk"), "documents"),
        at_least=True,
    ),
    Target(
        "the same / streaming_bulk of the same indexed fields",
        0.7,
        0.9,
        _ratio("index", ("index", "bulk_same_fields"), "documents"),
        at_least=True,
    ),
    Target(
        "the same / streaming_bulk into an index without fields",
        0.7,
        0.9,
        _ratio("index", ("index", "bulk_no_fields"), "documents"),
        at_least=True,
    ),
    Target("100,000 open runs, memory, MiB", 1_000, 500, lambda found: found["open", "many"]["peak_mib"]),
    Target(
        "100,000 open runs / 1,000 open runs, events/s",
        0.7,
        0.9,
        _ratio("open", ("open", "few"), peer="many"),
        at_least=True,
    ),
    Target("one run of 1,000,000 events, memory, MiB", 300, 150, lambda found: found["long", _OURS]["peak_mib"]),
    Target("from a call to its document in OpenSearch by id, p99, s", 3, 2, _after("shown_p99_s")),
    Target("from a call to found in OpenSearch, p99, s", 3, 2, _after("found_p99_s")),
    Target("from a call to the line of `tailrace tail -f`, p99, s", 0.5, 0.3, _after("tailed_p99_s")),
)
