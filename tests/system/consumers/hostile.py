"""Records that a broken or hostile producer may send: those that nobody can read, and those that are only strange."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

_ENVELOPE = {"pid": "hostile", "workflow": "load", "type": "log", "ts": "2026-01-01T00:00:00.000000Z"}
_DOCUMENT = {"workflow_name": "load", "state": "open", "iterations": [], "integrity": {"producers": {}}}
_WRONG = (None, True, [], ["x"], 1.5)
"""None is of the type of any field of the envelope."""

LYING_HEADERS: list[tuple[str, str | bytes | None]] = [
    *(("content-type", "application/msgpack"), ("tr-v", "999"), ("tr-v", b"\xff\0"), ("traceparent", None)),
    *(("tr-topic", "elsewhere"), ("tr-offset", "-7"), ("tr-state", "complete"), ("", b"\xed\xa0\x80")),
]
"""Kafka takes any; what a record says is in its value."""


class Unreadable:
    """Values that are no event and no document, all different; which is which follows from how they are made."""

    def __init__(self, chosen: random.Random) -> None:
        self._random = chosen
        self._number = 0
        self._kinds: tuple[Callable[[], bytes], ...] = (
            *(self._noise, self._truncated, self._not_an_object, self._wrong_type, self._missing, self._no_text),
            *(self._deep, self._deep_data, self._no_document),
        )

    def value(self) -> bytes:
        self._number += 1
        return self._random.choice(self._kinds)()

    def key(self) -> bytes | None:
        return self._random.choice([None, b"", b"hostile", self._random.randbytes(8)])

    def _event(self) -> dict[str, Any]:
        number = self._number
        data = {"level": "INFO", "message": f"no {number}"}
        return {**_ENVELOPE, "id": f"hostile-{number}", "seq": number, "run": f"hostile-{number}", "data": data}

    def _noise(self) -> bytes:
        return b"\xff%d " % self._number + self._random.randbytes(self._random.randint(0, 2_000))

    def _truncated(self) -> bytes:
        whole = json.dumps(self._event()).encode()
        number = whole.index(b"hostile-") + 40  # behind the first number, so that no two are alike
        return whole[: self._random.randint(number, len(whole) - 1)]

    def _not_an_object(self) -> bytes:
        number = self._number
        return json.dumps(self._random.choice([number, -number / 7, f"{number}", [number], [{"id": number}]])).encode()

    def _wrong_type(self) -> bytes:
        event = self._event()
        event[self._random.choice([*event])] = self._random.choice(_WRONG)
        return json.dumps({**event, "extra": self._number}).encode()

    def _missing(self) -> bytes:
        event = self._event()
        del event[self._random.choice(["pid", "type", "ts", "workflow", "run", "id", "seq"])]
        return json.dumps({**event, "extra": self._number}).encode()

    def _no_text(self) -> bytes:
        whole = json.dumps(self._event())
        return self._random.choice([whole.encode("utf-16"), whole.encode().replace(b"no ", b"no \xed\xa0\x80")])

    def _deep(self) -> bytes:
        depth = self._random.randint(2_000, 100_000)
        opening, closing = self._random.choice([(b"[", b"]"), (b'{"a":', b"}")])
        return opening * depth + b"%d" % self._number + closing * self._random.choice([0, depth])

    def _deep_data(self) -> bytes:
        depth = self._random.randint(2_000, 20_000)
        return json.dumps(self._event()).encode().replace(b'"no ', b"[" * depth + b"]" * depth + b',"more":"no ')

    def _no_document(self) -> bytes:
        document = {**_DOCUMENT, "run_id": f"hostile-{self._number}"}
        name = self._random.choice(["workflow_name", "iterations", "integrity"])
        document[name] = self._random.choice([None, self._number, [7], True])
        return json.dumps(document).encode()


def strange(chosen: random.Random) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Type, data and unknown envelope fields of events that can be read, so that each stands in its run's document."""
    huge: list[Any] = [10**400, -(10**30), 2**64, 1e308, msgspec.Raw(b"1e999"), msgspec.Raw(b"-0.0e-999")]
    texts = ["\0\x1b[2J\u202e", "\U0001f600" * 50, "</script>", "ﷺ\u2028", '"' * 99, "x" * 50_000]
    nested: Any = "deep"
    for _ in range(chosen.randint(1, 300)):
        nested = chosen.choice([[nested], {"a": nested}])
    yield "zebra.start", {"stripes": chosen.choice(huge)}, {}
    yield "log", {"level": chosen.choice([7, None, [], "LOUD"]), "message": chosen.choice([nested, *texts])}, {}
    yield "log", {}, {"zebra": nested, "stripes": chosen.choice(huge)}
    yield "action", {"action_name": None, "tokens": chosen.choice([*huge, "many"]), "cost": chosen.choice(huge)}, {}
    yield "action", {"id": 7, "event": [], "actions": {}, "timestamp": None, "status": chosen.choice(texts)}, {}
    yield "run.start", {"tags": 7, "session": [], "fields": nested}, {}
    yield "interaction.end", {"output_data": chosen.choice(huge)}, {"n2": chosen.choice(texts)}
    yield "resource", {"resource_name": {"": {"": ""}}, "\u0000": chosen.choice(texts)}, {}
    yield "", {"type": "run.end"}, {}
