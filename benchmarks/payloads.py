"""The event that every peer logs: an agent's action with 10 fields, about 735 B as a MessagePack array."""

from __future__ import annotations

import random
import string
from typing import Any, NamedTuple

import msgspec

WORKFLOW, RUN, AGENT, ITERATION, LEVEL = "support-triage", "run-01JDN8Z6W5T4Q2V9K3M7", "researcher", 7, "INFO"
PLACE: dict[str, Any] = {"run_id": RUN, "workflow": WORKFLOW, "agent": AGENT, "iteration": ITERATION}
"""What a logger can be told once and then adds to every event."""

DISTINCT = 512
MASK = DISTINCT - 1
"""`i & MASK` goes round the payloads: one payload for ever would stay in the nearest cache."""

_PROMPT, _COMPLETION = 200, 300
"""Characters."""


class Payload(NamedTuple):
    """What differs between events."""

    name: str
    input: dict[str, Any]
    output: dict[str, Any]


class PlainEvent(msgspec.Struct, array_like=True, gc=False):
    """The same event for peers that leave the encoding to their caller."""

    run_id: str
    workflow: str
    agent: str
    iteration: int
    seq: int
    action: str
    ts: int
    level: str
    input: dict[str, Any]
    output: dict[str, Any]


def payloads() -> list[Payload]:
    """`DISTINCT` payloads, the same ones in every process."""
    draw = random.Random(7)  # noqa: S311 - made-up text
    words = ["".join(draw.choices(string.ascii_lowercase, k=draw.randint(2, 9))) for _ in range(3_000)]
    return [_payload(draw, words, i) for i in range(DISTINCT)]


def _payload(draw: random.Random, words: list[str], i: int) -> Payload:
    name = draw.choice(("search", "summarize", "call_tool", "plan"))
    given = {"prompt": _text(draw, words, _PROMPT), "model": "model-large-1", "temperature": 0.2, "max_tokens": 1024}
    usage = {"prompt_tokens": 50 + i, "completion_tokens": 75 + i, "total_tokens": 125 + 2 * i}
    found = {"completion": _text(draw, words, _COMPLETION), "finish_reason": "stop", "usage": usage}
    return Payload(name, given, found)


def _text(draw: random.Random, words: list[str], length: int) -> str:
    text = ""
    while len(text) < length:
        text += draw.choice(words) + " "
    return text[:length]
