"""What lists and searches need of a document, taken from its view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from tailrace.document import Document, Summary
from tailrace.document.view import view

_encoder = msgspec.json.Encoder()
_PARTS = (
    *("workflow_name", "final_status", "session", "tags", "fields", "error", "outcome"),
    *("iterations", "interactions", "actions", "resources", "errors", "logs"),
)
_SILENT = frozenset({"id", "event", "end_event", "timestamp", "started_at", "ended_at", "start_time", "end_time"})


class Indexed(msgspec.Struct, frozen=True):
    """A document made ready for a store: its JSON, its summary, and the text that search looks in."""

    document: Document
    body: bytes
    summary: Summary
    text: str
    """Every string and number of the run's names, inputs, outputs and messages, a line each."""
    text_truncated: bool


def prepare(document: Document, *, max_text: int = 262_144) -> Indexed:
    """Render a document once for storing; text beyond `max_text` characters is left out of search."""
    body = _encoder.encode(view(document))
    decoded = msgspec.json.decode(body)
    pieces, size, truncated = [], 0, False
    for piece in _strings({name: decoded[name] for name in _PARTS if name in decoded}):
        if size + len(piece) > max_text:
            truncated = True
            break
        pieces.append(piece)
        size += len(piece) + 1
    return Indexed(document, body, _summary(decoded), "\n".join(pieces), truncated)


def summarise(document: Document) -> Summary:
    return _summary(msgspec.json.decode(_encoder.encode(view(document))))


def _summary(decoded: dict[str, Any]) -> Summary:
    fields = {name: decoded[name] for name in Summary.__struct_fields__ if name in decoded}
    for name in ("session", "final_status"):
        if fields.get(name) is not None and not isinstance(fields[name], str):
            fields[name] = msgspec.json.encode(fields[name]).decode()
    tags = fields.get("tags")
    fields["tags"] = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    return Summary(**{"final_status": None, **fields})


def _strings(value: Any) -> Iterator[str]:
    """Depth first, without recursion: payloads may be nested deeper than Python's stack."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            stack.extend(part for key, part in reversed(item.items()) if key not in _SILENT)
        elif isinstance(item, list):
            stack.extend(reversed(item))
        elif item is not None and not isinstance(item, bool):
            yield str(item)
