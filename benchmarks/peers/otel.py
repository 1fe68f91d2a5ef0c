"""OpenTelemetry's SDK. Its queue is raised so that the burst fits: with its default of 2,048 it would drop."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from benchmarks.payloads import LEVEL, MASK, PLACE
from benchmarks.peers import Peer

QUEUE = 1 << 20


class OtelSpan(Peer):
    """start_span and end with 7 attributes (input, output as msgspec's JSON), batch processor, exporter to nowhere."""

    name = "otel_span"
    sink = "nowhere"
    packages = ("opentelemetry-sdk",)

    async def open(self) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import set_span_in_context

        self._exporter = span_counter()
        self._provider = TracerProvider()
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter, max_queue_size=QUEUE))
        self._tracer = self._provider.get_tracer("agents")
        self._inside = set_span_in_context(self._tracer.start_span("run"))
        self._encode = msgspec.json.Encoder().encode

    def call(self, i: int) -> None:
        name, given, found = self.pool[i & MASK]
        attributes = {**PLACE, "level": LEVEL, "input.value": self._encode(given).decode()}
        span = self._tracer.start_span(name, self._inside, attributes=attributes)
        span.set_attribute("output.value", self._encode(found).decode())
        span.end()

    async def flush(self) -> None:
        self._provider.force_flush()

    def delivered(self) -> int:
        return int(self._exporter.count)


class OtelLog(Peer):
    """The logs SDK: Logger.emit(LogRecord) with a nested body, batch processor, exporter to nowhere."""

    name = "otel_log"
    sink = "nowhere"
    packages = ("opentelemetry-sdk",)

    async def open(self) -> None:
        from opentelemetry._logs import LogRecord, SeverityNumber
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

        self._exporter = _LogCounter()
        self._provider = LoggerProvider()
        self._provider.add_log_record_processor(BatchLogRecordProcessor(self._exporter, max_queue_size=QUEUE))
        self._emit = self._provider.get_logger("agents").emit
        self._record, self._severity = LogRecord, SeverityNumber.INFO

    def call(self, i: int) -> None:
        name, given, found = self.pool[i & MASK]
        record = self._record(
            timestamp=time.time_ns(),
            severity_text=LEVEL,
            severity_number=self._severity,
            event_name=name,
            body={"input": given, "output": found},
            attributes=PLACE,
        )
        self._emit(record)

    async def flush(self) -> None:
        self._provider.force_flush()

    def delivered(self) -> int:
        return self._exporter.count


class _LogCounter:
    """A log exporter that only counts."""

    count = 0

    def export(self, batch: Any) -> None:
        self.count += len(batch)

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return timeout_millis >= 0

    def shutdown(self) -> None:
        pass


def span_counter() -> Any:
    """A span exporter that only counts, in `count`."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Counter(SpanExporter):
        count = 0

        def export(self, spans: Any) -> SpanExportResult:
            self.count += len(spans)
            return SpanExportResult.SUCCESS

    return Counter()
