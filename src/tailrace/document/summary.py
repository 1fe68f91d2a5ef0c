"""What lists and searches need of a document, taken from its view."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import msgspec

from tailrace.document import Document, Summary
from tailrace.document.rendered import Rendered
from tailrace.document.totals import is_number
from tailrace.document.view import Element, view

MAX_TEXT = 262_144
"""Characters of a run that searches look in."""

_encoder = msgspec.json.Encoder()
_PARTS = (
    *("workflow_name", "final_status", "session", "tags", "fields", "error", "outcome"),
    *("iterations", "interactions", "actions", "resources", "errors", "logs"),
)
_SILENT = frozenset({"id", "event", "end_event", "timestamp", "started_at", "ended_at", "start_time", "end_time"})


class Indexed(msgspec.Struct, frozen=True):
    """A document made ready for a store: its JSON, its summary, and the text that search looks in."""

    body: bytes
    summary: Summary
    texts: list[str]
    """Every string and number of the run's names, inputs, outputs and messages: phrases do not span two of them."""
    text_truncated: bool


def prepare(document: Document, *, max_text: int = MAX_TEXT) -> Indexed:
    """Render a document once for storing; text beyond `max_text` characters is left out of search."""
    if isinstance(document, Rendered) and document.body is not None:
        try:
            return _indexed(document.body, msgspec.json.decode(document.body), max_text)
        except (msgspec.MsgspecError, RecursionError):
            pass  # a number that no decoder takes
    return prepare_element(view(document), max_text=max_text)


def prepare_element(element: Element, *, max_text: int = MAX_TEXT) -> Indexed:
    """As `prepare`, from the document's view or a long run's header."""
    body = _encoder.encode(element)
    return _indexed(body, _decode(element, body), max_text)


def _indexed(body: bytes, decoded: dict[str, Any], max_text: int) -> Indexed:
    texts = _strings({name: decoded[name] for name in _PARTS if name in decoded})
    size = 0
    for number, text in enumerate(texts):
        size += len(text) + 1
        if size > max_text + 1:
            return Indexed(body, _summary(decoded), texts[:number], text_truncated=True)
    return Indexed(body, _summary(decoded), texts, text_truncated=False)


def summarise(document: Document) -> Summary:
    element = view(document)
    return _summary(_decode(element, _encoder.encode(element)))


def _decode(element: Element, body: bytes) -> dict[str, Any]:
    """The view with its payloads decoded, but for values that JSON allows and no decoder here takes (1e400)."""
    try:
        decoded: dict[str, Any] = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        decoded = _part_by_part(element)
    return decoded


def _part_by_part(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _part_by_part(inner) for name, inner in part.items()}
    if isinstance(part, list):
        return [_part_by_part(inner) for inner in part]
    return _leniently(part) if isinstance(part, msgspec.Raw) else part


def _leniently(raw: msgspec.Raw) -> Any:
    """A payload's value without the numbers that no float holds; None where integers are too long or it is too deep."""
    try:
        return json.loads(bytes(raw), parse_float=_finite)
    except (ValueError, RecursionError):
        return None


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _summary(decoded: dict[str, Any]) -> Summary:
    fields = {name: decoded[name] for name in Summary.__struct_fields__ if name in decoded}
    for name in ("session", "final_status"):
        if fields.get(name) is not None and not isinstance(fields[name], str):
            fields[name] = msgspec.json.encode(fields[name]).decode()
    tags = fields.get("tags")
    fields["tags"] = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    sampling = decoded["sampling"]
    weight = sampling.get("weight")
    fields["weight"] = float(weight) if is_number(weight) else 1.0
    fields["stub"] = sampling.get("stub") is True and "event" not in sampling
    return Summary(**{"final_status": None, **fields})


def _strings(value: Any) -> list[str]:
    found: list[str] = []
    try:
        _gather(value, found)
    except RecursionError:
        found = list(_strings_of_deep(value))
    return found


def _gather(value: Any, found: list[str]) -> None:
    """Depth first. By type, not by isinstance: a decoder makes no subclasses, and this is most of preparing a run."""
    if value.__class__ is dict:
        for key, part in value.items():
            if key not in _SILENT:
                if part.__class__ is str:
                    found.append(part)
                else:
                    _gather(part, found)
    elif value.__class__ is list:
        for part in value:
            _gather(part, found)
    elif value.__class__ is str:
        found.append(value)
    elif value is not None and value.__class__ is not bool:
        found.append(str(value))


def _strings_of_deep(value: Any) -> Iterator[str]:
    """The same without recursion: payloads may be nested deeper than Python's stack."""
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
