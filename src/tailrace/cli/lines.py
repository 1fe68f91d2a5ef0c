"""One event as one line: what `tailrace tail` prints."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.text import Text

from tailrace.cli import wording
from tailrace.event import Event, types

_NAME_WIDTH = 80
_PAYLOAD_WIDTH = 200

_data = msgspec.json.Decoder(dict[str, Any])


_Piece = tuple[str, str]
"""A text, safe for a terminal, and its style."""


def line(event: Event, *, prefix: bool = False) -> Text:
    """`time run~last8 agent type summary`, safe for a terminal; with `prefix` the agent stands first, in brackets."""
    return Text.assemble(*_pieces(event, prefix=prefix))


def plain(event: Event, *, prefix: bool = False) -> str:
    """The same without styles, a fifth of the work."""
    return "".join(text for text, _ in _pieces(event, prefix=prefix))


def _pieces(event: Event, *, prefix: bool) -> list[_Piece]:
    shown = [(f"[{agent_name(event)}] ", wording.agent_style(event.agent))] if prefix else []
    shown.append((f"{wording.local_clock(event.ts)} run~{wording.short_id(event.run)}", "dim"))
    if event.agent and not prefix:
        shown.append((f" {agent_name(event)}", wording.agent_style(event.agent)))
    shown.append((f" {wording.payload(event.type, _NAME_WIDTH)} ", "bold"))
    shown.append((wording.payload(summary(event), _PAYLOAD_WIDTH), "red" if _failed(event) else ""))
    return shown


def agent_name(event: Event) -> str:
    """The agent that spoke, safe for a terminal."""
    return wording.payload(event.agent, _NAME_WIDTH)


def summary(event: Event) -> str:
    """What the event says, without its envelope; as its producer wrote it, so not safe for a terminal."""
    try:
        data = _data.decode(event.data)
    except msgspec.DecodeError:  # a number that no float can hold
        return bytes(event.data).decode()
    if event.type == types.LOG:
        return f"{_text(data.get('level'))} {_text(data.get('message'))} {_text(data.get('fields'))}".strip()
    if event.type == types.ERROR:
        return f"{_text(data.get('error_msg'))} {_failure(data.get('exception'))}".strip()
    named = _SUMMARIES.get(event.type)
    if named is None:
        return _text(data) if data else ""
    parts = [_failure(data[key]) if key == "error" else _text(data[key]) for key in named if key in data]
    return " ".join(part for part in parts if part)


_SUMMARIES = {
    types.RUN_START: ("session", "tags", "fields"),
    types.RUN_END: ("final_status", "error"),
    types.ITERATION_START: ("iteration_id",),
    types.ITERATION_END: ("status", "error"),
    types.INTERACTION_START: ("input_data",),
    types.INTERACTION_END: ("status", "output_data", "error"),
    types.ACTION: ("action_name", "status", "input_data", "output_data", "error"),
    types.ACTION_START: ("action_name", "input_data"),
    types.ACTION_END: ("status", "output_data", "error"),
    types.RESOURCE: ("resource_name",),
}
"""Event type -> the keys of `data` that its line shows."""


def _failed(event: Event) -> bool:
    return event.type == types.ERROR or b'"error":' in bytes(event.data)


def _failure(value: Any) -> str:
    if isinstance(value, dict):
        return f"! {_text(value.get('type'))}: {_text(value.get('message'))}"
    return _text(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
