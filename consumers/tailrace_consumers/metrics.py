"""`/metrics` for Prometheus, `/livez` and `/readyz` for who restarts and routes, over HTTP from a thread of its own.

The thread answers also while the event loop does not, which is when it matters. It only reads; nothing that is asked
of it reaches the stages. There is no password and no TLS: by default it listens to this host alone.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from tailrace.consumer import Address
from tailrace.errors import ConfigError, MissingExtraError
from tailrace_consumers.health import Status

try:
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    raise MissingExtraError("consume.metrics", "metrics") from error

Statuses = Callable[[], Sequence[Status]]

_OPEN_RUNS = ("runs", "undecided")
_OTHERS_NAMED = frozenset({"held_bytes", "dropped", *_OPEN_RUNS})


class StageCollector(Collector):
    """What the stages did and hold, read when it is asked for. Names and units by Prometheus's conventions."""

    def __init__(self, statuses: Statuses) -> None:
        self._statuses = statuses

    def collect(self) -> Iterator[Metric]:
        statuses = self._statuses()
        yield from _counters(statuses)
        yield from _gauges(statuses)
        yield from _counts(statuses)


def _counters(statuses: Sequence[Status]) -> Iterator[Metric]:
    on_bus = [each for each in statuses if not each.into_store]
    in_store = [each for each in statuses if each.into_store]
    for name, text, field, of in (
        ("records_received", "Records read, those read again included.", "received", statuses),
        ("records_written", "Records that a stage put on the bus.", "written", on_bus),
        ("documents_stored", "Documents that a stage joined into the store.", "written", in_store),
        ("dead_letters", "Records sent to the dead-letter topic.", "dead", statuses),
        ("retries", "Calls of the bus or the store that failed and were repeated.", "retries", statuses),
        ("rebalances", "Times that partitions were taken away.", "rebalances", statuses),
    ):
        metric = CounterMetricFamily(f"tailrace_{name}", text, labels=["stage"])
        for each in of:
            metric.add_metric([each.progress.stage], getattr(each.progress, field))
        yield metric


def _gauges(statuses: Sequence[Status]) -> Iterator[Metric]:
    values: tuple[tuple[str, str, Callable[[Status], float | None]], ...] = (
        ("lag_records", "Records that the stage's group has not committed.", lambda each: each.progress.lag),
        (
            "lag_age_seconds",
            "Age of the newest record read of the partition that is furthest behind; 0: none is.",
            lambda each: each.lag_seconds,
        ),
        (
            "commit_age_seconds",
            "Since the last commit, while something is not committed; else 0.",
            lambda each: each.commit_seconds,
        ),
        ("active", "1: it reads for its group; 0: it stands by.", lambda each: each.active),
        ("ready", "1: it gets on; 0: it waits for a server, or is stuck.", lambda each: each.is_ready),
    )
    for name, text, value_of in values:
        metric = GaugeMetricFamily(f"tailrace_{name}", text, labels=["stage"])
        for each in statuses:
            value = value_of(each)
            if value is not None:
                metric.add_metric([each.progress.stage], float(value))
        yield metric


def _counts(statuses: Sequence[Status]) -> Iterator[Metric]:
    """What `Stage.counts` says; what has no name of its own here comes under its own name as a label."""
    runs = GaugeMetricFamily("tailrace_open_runs", "Runs held in memory.", labels=["stage"])
    held = GaugeMetricFamily("tailrace_held_bytes", "About the bytes held in memory.", labels=["stage"])
    decided = CounterMetricFamily(
        "tailrace_decisions", "Runs that the sampler decided.", labels=["stage", "decision", "reason"]
    )
    others = GaugeMetricFamily("tailrace_stage_count", "What else the stage counts.", labels=["stage", "name"])
    for each in statuses:
        stage, counts = each.progress.stage, each.progress.counts
        if any(name in counts for name in _OPEN_RUNS):
            runs.add_metric([stage], sum(counts.get(name, 0) for name in _OPEN_RUNS))
        if "held_bytes" in counts:
            held.add_metric([stage], counts["held_bytes"])
        for name, count in counts.items():
            decision, by, reason = name.partition("_by_")
            if decision in {"kept", "dropped"} and (by or name == "dropped"):
                decided.add_metric([stage, decision, reason], count)
            elif name not in _OTHERS_NAMED:
                others.add_metric([stage, name], count)
    yield from (runs, held, decided, others)


@contextmanager
def serving(address: Address, statuses: Statuses) -> Iterator[Address]:
    """Serve while the block runs; gives the address, with the port that was chosen where 0 was asked for.

    Raises:
        ConfigError: it cannot listen there.
    """
    registry = CollectorRegistry()
    registry.register(StageCollector(statuses))
    ProcessCollector(registry=registry)
    try:
        server = _Server(address, registry, statuses)
    except OSError as error:
        raise ConfigError(f"metrics cannot listen on {address}: {error}; set consume.metrics to another") from error
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="tailrace-metrics", daemon=True)
    thread.start()
    try:
        yield Address(address.host, server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()


class _Server(socketserver.ThreadingMixIn, HTTPServer):
    daemon_threads = True

    def __init__(self, address: Address, registry: CollectorRegistry, statuses: Statuses) -> None:
        self.registry = registry
        self.statuses = statuses
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        super().__init__((address.host, address.port), _Handler)

    def server_bind(self) -> None:
        """Without the look-up of the host's own name, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no event of ours."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10
    """Seconds for a client to send its request."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self.server.registry))
        elif path in {"/livez", "/readyz"}:
            statuses = self.server.statuses()
            good = all(each.is_live if path == "/livez" else each.is_ready for each in statuses)
            told = "".join(f"{each}\n" for each in statuses)
            code = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(code, "text/plain; charset=utf-8", told.encode("utf-8", "replace"))
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"/metrics, /livez, /readyz\n")

    def _answer(self, code: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Scrapes are not worth a line each."""
