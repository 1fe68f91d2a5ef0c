"""A document as the JSON that people and other systems read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tailrace.document import Document, shape
from tailrace.document.intervals import Intervals
from tailrace.document.parsed import Parsed, distinct, event_of, in_order, parsed, received
from tailrace.document.parts import Node, Parts
from tailrace.document.shape import Context, NodeShape, Places
from tailrace.document.stub import is_stub, write_stub
from tailrace.document.totals import add_totals
from tailrace.event import Stamp, encode, types

Element = dict[str, Any]
"""One JSON object of the view; payload values in it are `msgspec.Raw`, passed through byte by byte."""

_encoder = msgspec.json.Encoder()


def render(document: Document) -> bytes:
    """The document as JSON; `restore(render(d)) == d`, and equal documents give equal bytes."""
    return _encoder.encode(view(document))


def view(document: Document, *, whole: bool = True) -> Element:
    """As `render`, before encoding. `whole` False: other events of the run stand elsewhere, so it is no stub."""
    events = [parsed(event) for event in document.events.values()]
    return _view(document.run_id, in_order(events), document.received, whole=whole)


def view_of(run_id: str, events: list[Parsed]) -> Element:
    """The view of the document that these events of one run come to, in any order and however often."""
    return _view(run_id, in_order(distinct(events)), received(events), whole=True)


def _view(run_id: str, events: Sequence[Parsed], numbers: Mapping[str, Intervals], *, whole: bool) -> Element:
    """`events` in order, each once."""
    parts = Parts(events)
    element: Element = {
        "workflow_name": parts.workflow,
        "run_id": run_id,
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
    add_totals(element, numbers, events)
    if whole and is_stub(events):
        write_stub(element, events)
    return element


def _tree(parts: Parts) -> Element:
    """`iterations` with `interactions` with `actions`, and those that stand in no iteration or interaction."""
    root: Element = {"iterations": [], "interactions": [], "actions": []}
    iterations: dict[str, Element] = {}
    for key, node in sorted(parts.nodes["iteration"].items(), key=_first):
        element = iterations[key] = _node_element(key, node, shape.ITERATION, Context(iteration=key))
        if node.end is None:
            element["status"] = shape.IN_PROGRESS
        element["interactions"] = []
        root["iterations"].append(element)
    interactions: dict[str, tuple[list[Element], Context]] = {}
    for key, node in sorted(parts.nodes["interaction"].items(), key=_first):
        context = Context(iteration=node.iteration, interaction=key, agent=_agent_of(node))
        element = _node_element(key, node, shape.INTERACTION, context)
        actions: list[Element] = []
        element["actions"] = actions
        interactions[key] = (actions, context)
        (iterations[node.iteration] if node.iteration else root)["interactions"].append(element)
    nodes = parts.nodes["action"]
    action_of = parts.action_of
    for event in parts.inner:
        if event.interaction:
            home, context = interactions[event.interaction]
        elif event.iteration:
            home = iterations[event.iteration].setdefault("actions", [])
            context = Context(iteration=event.iteration)
        else:
            home, context = root["actions"], Context()
        action = action_of.get(event.id) if action_of else None
        home.append(_fact(event, context) if action is None else _action_element(action, nodes[action], context))
    return root


def _action_element(key: str, node: Node, context: Context) -> Element:
    return _node_element(key, node, shape.ACTION, context._replace(action=key))


def _first(item: tuple[str, Node]) -> Stamp:
    return item[1].first


def _agent_of(node: Node) -> str:
    return shape.text(node.start.data.get("agent_name")) if node.start else ""


def _node_element(key: str, node: Node, node_shape: NodeShape, context: Context) -> Element:
    element: Element = {"id": key}
    _write_halves(element, node, node_shape, context)
    return element


def _write_halves(element: Element, node: Node, node_shape: NodeShape, context: Context) -> None:
    if node.start:
        element["event"] = node.start.id
        element[node_shape.start_time] = node.start.ts
        _write_context(element, node.start, context)
        _write_data(element, node.start.data, node_shape.start_places, "start_extra")
        if node.start.extra:
            element["envelope"] = dict(sorted(node.start.extra.items()))
    if node.end:
        element["end_event"] = node.end.id
        element[node_shape.end_time] = node.end.ts
        if node.start is None:
            _write_context(element, node.end, context)
        elif node.end.agent != context.agent:
            element["end_agent"] = node.end.agent
        _write_data(element, node.end.data, node_shape.end_places, "end_extra")
        if node.end.extra:
            element["end_envelope"] = dict(sorted(node.end.extra.items()))


def _fact(event: Parsed, context: Context, places: Places = shape.FACT_PLACES) -> Element:
    data = event.data
    is_there = (event.iteration, event.interaction, event.action, event.agent) == context
    if is_there and places[tuple(data)].as_it_is:  # as most are
        element: Element = {"event": event.id, "timestamp": event.ts, **data}
    else:
        element = {"event": event.id, "timestamp": event.ts}
        _write_context(element, event, context)
        _write_data(element, data, places, "start_extra")
    if event.extra:
        element["envelope"] = dict(sorted(event.extra.items()))
    return element


def _sampling(decisions: Sequence[Parsed]) -> Element:
    """What the sampler said last of a run that it kept; whatever else it said stands whole in `decisions`."""
    kept = [event for event in decisions if event.type == types.RUN_SAMPLED]
    element = _fact(kept[-1], Context(), shape.DECISION_PLACES) if kept else dict(shape.NOT_SAMPLED)
    others = [event for event in decisions if not kept or event is not kept[-1]]
    if others:
        element["decisions"] = [_whole(event) for event in others]
    return element


def _whole(event: Parsed) -> msgspec.Raw:
    """An event as it is, keys sorted: one that stood in the tree before a join comes back in sorted order."""
    extra = dict(sorted(event.extra.items())) if event.extra else msgspec.UNSET
    return msgspec.Raw(
        encode(event_of(msgspec.structs.replace(event, data=dict(sorted(event.data.items())), extra=extra)))
    )


def _write_context(element: Element, event: Parsed, context: Context) -> None:
    """The ids and the agent, where they are not those of the place in the tree."""
    if (event.iteration, event.interaction, event.action, event.agent) == context:
        return
    if event.iteration != context.iteration:
        element["iteration"] = event.iteration
    if event.interaction != context.interaction:
        element["interaction"] = event.interaction
    if event.action != context.action:
        element["action"] = event.action
    if event.agent != context.agent:
        element["agent"] = event.agent


def _write_data(element: Element, data: dict[str, msgspec.Raw], places: Places, rest: str) -> None:
    placed = places[tuple(data)]
    if placed.as_it_is:
        element.update(data)
        return
    for key in placed.inside:
        element[key] = data[key]
    if placed.left:
        element[rest] = {key: data[key] for key in placed.left}
