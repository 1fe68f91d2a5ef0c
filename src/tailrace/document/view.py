"""A document as the JSON that people and other systems read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from tailrace.document import Document, shape
from tailrace.document.shape import Context, NodeShape
from tailrace.document.stub import write_stub
from tailrace.document.totals import add_totals
from tailrace.event import Event, Stamp, encode, stamp, types

Element = dict[str, Any]
"""One JSON object of the view; payload values in it are `msgspec.Raw`, passed through byte by byte."""

_data = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encoder = msgspec.json.Encoder()


def render(document: Document) -> bytes:
    """The document as JSON; `restore(render(d)) == d`, and equal documents give equal bytes."""
    return _encoder.encode(view(document))


def view(document: Document) -> Element:
    """As `render`, before encoding."""
    events = sorted(document.events.values(), key=stamp)
    parts = _Parts(events)
    element: Element = {
        "workflow_name": parts.workflow,
        "run_id": document.run_id,
        "state": shape.OPEN,
        "final_status": None,
        "start_time": None,
        "end_time": None,
    }
    if parts.run.end:
        del element["final_status"]  # what the end event says, or nothing
    _write_halves(element, parts.run, shape.RUN, Context())
    element.update(_tree(parts))
    for type_, name in shape.FACTS.items():
        element[name] = [_fact(event, Context()) for event in parts.facts[type_]]
    if parts.decisions:
        element["sampling"] = _sampling(parts.decisions)
    element["other_events"] = [_whole(event) for event in parts.others]
    add_totals(element, document, events)
    if events and all(event.type == types.RUN_DROPPED for event in events):
        write_stub(element, events)
    return element


class _Node:
    """The start and the end event that stand for one node, and when it was first heard of."""

    __slots__ = ("end", "first", "iteration", "start")

    def __init__(self, first: Stamp, iteration: str = "") -> None:
        self.first = first
        self.iteration = iteration
        self.start: Event | None = None
        self.end: Event | None = None


class _Parts:
    """Every event in its place: the half of a node, a call, a fact, or one of the others."""

    def __init__(self, events: list[Event]) -> None:
        self.workflow = events[0].workflow if events else ""
        self.run = _Node(("", "", 0, ""))
        self.nodes: dict[str, dict[str, _Node]] = {kind: {} for kind in shape.NODES}
        self.calls: list[Event] = []
        self.facts: dict[str, list[Event]] = {type_: [] for type_ in shape.FACTS}
        self.decisions: list[Event] = []
        self.others: list[Event] = []
        for event in events:
            if not self._take(event):
                self.others.append(event)
        self._settle()
        self.others.sort(key=stamp)

    def _take(self, event: Event) -> bool:
        if event.seq < 0 or event.id != f"{event.pid}-{event.seq}" or event.workflow != self.workflow:
            return False
        if event.type in self.facts:
            self.facts[event.type].append(event)
        elif event.type == types.ACTION:
            self.calls.append(event)
        elif event.type == types.RUN_START:
            return self._start(self.run, event)
        elif event.type == types.RUN_END:
            return self._end(self.run, event)
        elif event.type in shape.DECISIONS:
            self.decisions.append(event)
        else:
            return self._take_half(event)
        return True

    def _take_half(self, event: Event) -> bool:
        for kind, node_shape in shape.NODES.items():
            key = getattr(event, kind)
            if event.type == node_shape.start_type and key:
                return self._start(self._node(kind, key, event), event)
            if event.type == node_shape.end_type and key:
                return self._end(self._node(kind, key, event), event)
        return False

    def _node(self, kind: str, key: str, event: Event) -> _Node:
        return self.nodes[kind].setdefault(key, _Node(stamp(event), event.iteration))

    def _start(self, node: _Node, event: Event) -> bool:
        if node.start is None:
            node.start = event
            node.iteration = event.iteration
            return True
        return False

    def _end(self, node: _Node, event: Event) -> bool:
        if node.end is not None:
            self.others.append(node.end)
        node.end = event
        return True

    def _settle(self) -> None:
        """Ends that contradict their start become others; what actions refer to gets a place."""
        for node in (self.run, *(node for nodes in self.nodes.values() for node in nodes.values())):
            if node.start and node.end and shape.belongs(node.start) != shape.belongs(node.end):
                self.others.append(node.end)
                node.end = None
        inner = [*self.calls, *(half for node in self.nodes["action"].values() if (half := node.start or node.end))]
        for event in sorted(inner, key=stamp):
            if event.interaction:
                self._node("interaction", event.interaction, event)
        for node in [*self.nodes["interaction"].values()]:
            if node.iteration:
                self.nodes["iteration"].setdefault(node.iteration, _Node(node.first))
        for event in inner:
            if event.iteration and not event.interaction:
                self._node("iteration", event.iteration, event)


def _tree(parts: _Parts) -> Element:
    """`iterations` with `interactions` with `actions`, and those that stand in no iteration or interaction."""
    root: Element = {"iterations": [], "interactions": [], "actions": []}
    iterations: dict[str, Element] = {}
    for key, node in sorted(parts.nodes["iteration"].items(), key=_first):
        element = iterations[key] = _node_element(key, node, shape.ITERATION, Context(iteration=key))
        if node.end is None:
            element["status"] = shape.IN_PROGRESS
        element["interactions"] = []
        root["iterations"].append(element)
    interactions: dict[str, Element] = {}
    contexts: dict[str, Context] = {}
    for key, node in sorted(parts.nodes["interaction"].items(), key=_first):
        context = Context(iteration=node.iteration, interaction=key, agent=_agent_of(node))
        element = _node_element(key, node, shape.INTERACTION, context)
        element["actions"] = []
        interactions[key], contexts[key] = element, context
        (iterations[node.iteration] if node.iteration else root)["interactions"].append(element)
    for event, element_of in _ordered_actions(parts):
        if event.interaction:
            interactions[event.interaction]["actions"].append(element_of(contexts[event.interaction]))
        elif event.iteration:
            home = iterations[event.iteration].setdefault("actions", [])
            home.append(element_of(Context(iteration=event.iteration)))
        else:
            root["actions"].append(element_of(Context()))
    return root


def _ordered_actions(parts: _Parts) -> list[tuple[Event, Callable[[Context], Element]]]:
    """Calls and action nodes by time, each with what writes its element once its context is known."""
    found: list[tuple[Event, Callable[[Context], Element]]] = [(call, partial(_fact, call)) for call in parts.calls]
    for key, node in parts.nodes["action"].items():
        if half := node.start or node.end:
            found.append((half, partial(_action_element, key, node)))
    found.sort(key=lambda each: stamp(each[0]))
    return found


def _action_element(key: str, node: _Node, context: Context) -> Element:
    return _node_element(key, node, shape.ACTION, msgspec.structs.replace(context, action=key))


def _first(item: tuple[str, _Node]) -> Stamp:
    return item[1].first


def _agent_of(node: _Node) -> str:
    return shape.text(_data.decode(node.start.data).get("agent_name")) if node.start else ""


def _node_element(key: str, node: _Node, node_shape: NodeShape, context: Context) -> Element:
    element: Element = {"id": key}
    _write_halves(element, node, node_shape, context)
    return element


def _write_halves(element: Element, node: _Node, node_shape: NodeShape, context: Context) -> None:
    if node.start:
        element["event"] = node.start.id
        element[node_shape.start_time] = node.start.ts
        _write_context(element, node.start, context, "")
        _write_data(element, node.start, node_shape.of_start, "start_extra")
        if node.start.extra:
            element["envelope"] = dict(sorted(node.start.extra.items()))
    if node.end:
        element["end_event"] = node.end.id
        element[node_shape.end_time] = node.end.ts
        _write_context(element, node.end, context, "" if node.start is None else "end_")
        _write_data(element, node.end, node_shape.of_end, "end_extra")
        if node.end.extra:
            element["end_envelope"] = dict(sorted(node.end.extra.items()))


def _fact(event: Event, context: Context, takes: Callable[[str], bool] = shape.is_free) -> Element:
    element: Element = {"event": event.id, "timestamp": event.ts}
    _write_context(element, event, context, "")
    _write_data(element, event, takes, "start_extra")
    if event.extra:
        element["envelope"] = dict(sorted(event.extra.items()))
    return element


def _sampling(decisions: list[Event]) -> Element:
    """What the sampler said last of a run that it kept; whatever else it said stands whole in `decisions`."""
    kept = [event for event in decisions if event.type == types.RUN_SAMPLED]
    element = _fact(kept[-1], Context(), takes=shape.is_free_of_decision) if kept else dict(shape.NOT_SAMPLED)
    others = [event for event in decisions if not kept or event is not kept[-1]]
    if others:
        element["decisions"] = [_whole(event) for event in others]
    return element


def _whole(event: Event) -> msgspec.Raw:
    """An event as it is, keys sorted: one that stood in the tree before a join comes back in sorted order."""
    data = msgspec.Raw(_encoder.encode(dict(sorted(_data.decode(event.data).items()))))
    return msgspec.Raw(encode(msgspec.structs.replace(event, data=data, extra=dict(sorted(event.extra.items())))))


def _write_context(element: Element, event: Event, context: Context, prefix: str) -> None:
    """The ids and the agent, where they are not those of the place in the tree."""
    for name in shape.CONTEXT:
        value = getattr(event, name)
        if value != getattr(context, name) and not (prefix and name != "agent"):
            element[prefix + name] = value


def _write_data(element: Element, event: Event, takes: Callable[[str], bool], rest: str) -> None:
    left: dict[str, msgspec.Raw] = {}
    for key, value in sorted(_data.decode(event.data).items()):
        if takes(key):
            element[key] = value
        else:
            left[key] = value
    if left:
        element[rest] = left
