"""Tracers of LLM applications, sending to a local HTTP sink where they cannot be told to send nowhere.

They do more than log: start and end, ids, context, masking. Exporting shares the interpreter with the caller, as it
does in production.
"""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime

from benchmarks.payloads import MASK, PLACE
from benchmarks.peers import Peer
from benchmarks.peers.otel import QUEUE, span_counter


class Langfuse(Peer):
    """start_observation(as_type="tool", input, output, metadata).end()."""

    name = "langfuse"
    sink = "HTTP"
    packages = ("langfuse",)
    needs_http = True

    async def open(self) -> None:
        os.environ["OTEL_BSP_MAX_QUEUE_SIZE"] = str(QUEUE)
        from langfuse import Langfuse as Client

        self._client = Client(public_key="pk-lf-x", secret_key="sk-lf-x", base_url=self.http)  # noqa: S106 - no secret
        self._root = self._client.start_observation(name="run", as_type="agent")

    def call(self, i: int) -> None:
        name, given, found = self.pool[i & MASK]
        self._root.start_observation(name=name, as_type="tool", input=given, output=found, metadata=PLACE).end()

    async def flush(self) -> None:
        self._client.flush()


class Logfire(Peer):
    """logfire.info("action", **fields), not sent to its service, batch processor, exporter to nowhere."""

    name = "logfire"
    sink = "nowhere"
    packages = ("logfire",)

    async def open(self) -> None:
        import logfire
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._exporter = span_counter()
        self._logfire = logfire.configure(
            send_to_logfire=False,
            console=False,
            inspect_arguments=False,
            metrics=False,
            additional_span_processors=[BatchSpanProcessor(self._exporter, max_queue_size=QUEUE)],
        )

    def call(self, i: int) -> None:
        name, given, found = self.pool[i & MASK]
        self._logfire.info("action", **PLACE, action=name, input=given, output=found)

    async def flush(self) -> None:
        self._logfire.force_flush()

    def delivered(self) -> int:
        return int(self._exporter.count)


class Phoenix(Peer):
    """arize-phoenix-otel: start_as_current_span(kind "tool"), set_input, set_output; batch, HTTP exporter."""

    name = "phoenix"
    sink = "HTTP"
    packages = ("arize-phoenix-otel",)
    needs_http = True

    async def open(self) -> None:
        os.environ["OTEL_BSP_MAX_QUEUE_SIZE"] = str(QUEUE)
        from phoenix.otel import register

        self._provider = register(
            endpoint=f"{self.http}/v1/traces",
            protocol="http/protobuf",
            project_name="bench",
            batch=True,
            verbose=False,
            set_global_tracer_provider=False,
        )
        self._tracer = self._provider.get_tracer("agents")

    def call(self, i: int) -> None:
        name, given, found = self.pool[i & MASK]
        with self._tracer.start_as_current_span(name, openinference_span_kind="tool", attributes=PLACE) as span:
            span.set_input(given)
            span.set_output(found)

    async def flush(self) -> None:
        self._provider.force_flush()


class LangSmith(Peer):
    """Client.create_run once an event, with inputs, outputs, start and end: cheaper than its @traceable."""

    name = "langsmith"
    sink = "HTTP"
    packages = ("langsmith",)
    needs_http = True

    async def open(self) -> None:
        os.environ["LANGSMITH_TRACING"] = "true"
        from langsmith import Client

        self._client = Client(api_url=self.http, api_key="x")

    def call(self, i: int) -> None:
        name, given, found = self.pool[i & MASK]
        now = datetime.now(UTC)
        run = uuid.uuid4()
        self._client.create_run(
            name,
            given,
            "tool",
            project_name="bench",
            id=run,
            trace_id=run,
            dotted_order=f"{now:%Y%m%dT%H%M%S%fZ}{run}",
            start_time=now,
            end_time=now,
            outputs=found,
            extra={"metadata": PLACE},
        )

    async def flush(self) -> None:
        self._client.flush()
