"""LogRecords as JSON lines, for what reads logs by their fields."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from tailrace.event import payload
from tailrace.event.ids import text_of
from tailrace.logger.facts import failure
from tailrace.stdlib.context import CONTEXT, extras

_ECS_VERSION = "8.11.0"
_ECS_NAMES = {"run": "trace.id", "workflow": "service.name", "event_type": "event.action", "event_id": "event.id"}


class JsonFormatter(logging.Formatter):
    """One JSON object a record, on one line, whatever its values; any handler, any logger.

    `timestamp` (RFC 3339, UTC), `level`, `logger`, `message`, `exception` with type, message and traceback, and all
    attributes that `extra` added: of a `LoggingSink`'s or a `ContextFilter`'s records the run's context, left out where
    it is empty. As such it suits Splunk (source type `_json`) and Logstash.

    `ecs=True` takes the names of the Elastic Common Schema instead, as dotted keys: `@timestamp`, `log.level`,
    `trace.id` (the run), `span.id` (the innermost of action, interaction and iteration), `service.name` (the workflow),
    `event.action`, `event.id`, `error.*`. Everything else is text under `labels`, and a payload is JSON in one text,
    `tailrace.data`, so that no record can change the index's mapping.
    """

    def __init__(self, *, ecs: bool = False) -> None:
        super().__init__()
        self._write = _ecs if ecs else _plain

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end. Never raises for what a value's own code does."""
        return payload.encode(self._write(record)).decode()


def _plain(record: logging.LogRecord) -> dict[str, Any]:
    line: dict[str, Any] = {
        "timestamp": text_of(int(record.created * 1_000_000)),
        "level": record.levelname,
        "logger": record.name,
        "message": _message(record),
    }
    if exception := _exception(record):
        line["exception"] = exception
    if record.stack_info:
        line["stack"] = record.stack_info
    for name, value in _present(extras(record)).items():
        line[f"extra_{name}" if name in line else name] = value
    return line


def _ecs(record: logging.LogRecord) -> dict[str, Any]:
    line: dict[str, Any] = {
        "@timestamp": text_of(int(record.created * 1_000_000)),
        "log.level": record.levelname.lower(),
        "message": _message(record),
        "ecs.version": _ECS_VERSION,
        "log.logger": record.name,
        "log.origin.file.name": record.filename,
        "log.origin.file.line": record.lineno,
        "process.pid": record.process,
        "process.thread.name": record.threadName,
    }
    exception = _exception(record)
    line.update({f"error.{'stack_trace' if key == 'traceback' else key}": exception[key] for key in exception})
    found = _present(extras(record))
    if "data" in found:
        line["tailrace.data"] = payload.encode(found.pop("data")).decode()
    if span := found.get("action") or found.get("interaction") or found.get("iteration"):
        line["span.id"] = span
    for name, value in found.items():
        line[_ECS_NAMES.get(name) or f"labels.{name}"] = value if isinstance(value, str) else _text(value)
    return line


def _present(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if not (name in CONTEXT and value == "")}


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - a wrong format, or the arguments' own code
        return f"{record.msg} {_text(record.args)}"


def _text(value: Any) -> str:
    return payload.encode(value).decode()


def _exception(record: logging.LogRecord) -> dict[str, str]:
    exc = record.exc_info[1] if record.exc_info else None
    if exc is None:
        return {"traceback": record.exc_text} if record.exc_text else {}
    found = failure(exc)
    return {"type": found.type, "message": found.message, "traceback": found.traceback}
