"""A document back from its JSON: the inverse of `view.render`, for joining what stands in a topic or a store."""

from __future__ import annotations

from typing import Any

import msgspec

from tailrace.document import Document, shape
from tailrace.document.intervals import Intervals
from tailrace.document.shape import Context, NodeShape
from tailrace.errors import DecodeError
from tailrace.event import Event, decode, types

_Raws = dict[str, msgspec.Raw]
_raws = msgspec.json.Decoder(_Raws)
_lists = msgspec.json.Decoder(list[msgspec.Raw])
_text = msgspec.json.Decoder(str)
_encoder = msgspec.json.Encoder()


class _Integrity(msgspec.Struct):
    producers: dict[str, list[tuple[int, int]]]


def restore(value: bytes) -> Document:
    """The document whose rendering this is.

    Raises:
        DecodeError: the bytes are not a rendered document.
    """
    try:
        return _Reader(_raws.decode(value)).document
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, ValueError) as error:
        raise DecodeError(f"not a workflow document: {error!r}") from error


class _Reader:
    """Walks the tree and folds each element's events."""

    def __init__(self, root: _Raws) -> None:
        self.document = Document(_text.decode(root["run_id"]))
        self._workflow = _text.decode(root["workflow_name"])
        self._halves(root, shape.RUN, Context())
        for raw in _lists.decode(root["iterations"]):
            self._iteration(_raws.decode(raw))
        self._inside(root, Context())
        for type_, name in shape.FACTS.items():
            for raw in _lists.decode(root.get(name, b"[]")):
                self._fact(_raws.decode(raw), type_, Context())
        sampling = _raws.decode(root.get("sampling", b"{}"))
        for raw in _lists.decode(sampling.pop("decisions", b"[]")):
            self.document.fold(decode(bytes(raw)))
        if "event" in sampling:
            self._fact(sampling, types.RUN_SAMPLED, Context())
        for raw in _lists.decode(root.get("other_events", b"[]")):
            self.document.fold(decode(bytes(raw)))
        numbers = msgspec.json.decode(root["integrity"], type=_Integrity).producers
        self.document.received = {pid: Intervals(spans) for pid, spans in numbers.items()}

    def _iteration(self, element: _Raws) -> None:
        context = Context(iteration=_text.decode(element["id"]))
        self._halves(element, shape.ITERATION, context)
        self._inside(element, context)

    def _inside(self, element: _Raws, context: Context) -> None:
        for raw in _lists.decode(element.get("interactions", b"[]")):
            inner = _raws.decode(raw)
            agent = shape.text(inner.get("agent_name")) if "event" in inner else ""
            here = context._replace(interaction=_text.decode(inner["id"]), agent=agent)
            self._halves(inner, shape.INTERACTION, here)
            self._actions(inner, here)
        self._actions(element, context)

    def _actions(self, element: _Raws, context: Context) -> None:
        for raw in _lists.decode(element.get("actions", b"[]")):
            inner = _raws.decode(raw)
            if "id" in inner:
                self._halves(inner, shape.ACTION, context._replace(action=_text.decode(inner["id"])))
            else:
                self._fact(inner, types.ACTION, context)

    def _halves(self, element: _Raws, node_shape: NodeShape, context: Context) -> None:
        if "event" in element:
            start = self._event(element, "", node_shape.start_type, node_shape.start_time, context)
            data = {key: value for key, value in element.items() if node_shape.of_start(key)}
            self._fold(start, data, element.get("start_extra"))
        if "end_event" in element:
            agent_key = "end_agent" if "event" in element else "agent"
            end = self._event(element, "end_", node_shape.end_type, node_shape.end_time, context, agent_key)
            data = {key: value for key, value in element.items() if node_shape.of_end(key)}
            self._fold(end, data, element.get("end_extra"))

    def _fact(self, element: _Raws, type_: str, context: Context) -> None:
        data = {key: value for key, value in element.items() if shape.is_free(key)}
        self._fold(self._event(element, "", type_, "timestamp", context), data, element.get("start_extra"))

    def _event(
        self, element: _Raws, half: str, type_: str, time: str, context: Context, agent_key: str = "agent"
    ) -> Event:
        id_ = _text.decode(element[f"{half}event"])
        pid, _, seq = id_.rpartition("-")
        belongs: dict[str, Any] = {}
        for name in shape.CONTEXT:
            stated = element.get(agent_key if name == "agent" else name)
            belongs[name] = _text.decode(stated) if stated is not None else getattr(context, name)
        return Event(
            id=id_,
            seq=int(seq),
            pid=pid,
            run=self.document.run_id,
            workflow=self._workflow,
            type=type_,
            ts=_text.decode(element[time]),
            extra=_raws.decode(element.get(f"{half}envelope", b"{}")),
            **belongs,
        )

    def _fold(self, event: Event, data: _Raws, rest: msgspec.Raw | None) -> None:
        if rest is not None:
            data = {**data, **_raws.decode(rest)}
        self.document.fold(msgspec.structs.replace(event, data=msgspec.Raw(_encoder.encode(data))))
