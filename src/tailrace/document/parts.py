"""Every event of a run in its place: the half of a node, a call, a fact, or one of the others."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.document import shape
from tailrace.document.parsed import Parsed, stamp
from tailrace.event import Stamp, types

_HALVES = {
    type_: (kind, is_start)
    for kind, node_shape in shape.NODES.items()
    for type_, is_start in ((node_shape.start_type, True), (node_shape.end_type, False))
}
"""Event type -> the kind of node that it is a half of, and which half."""


class Node:
    """The start and the end event that stand for one node, and when it was first heard of."""

    __slots__ = ("end", "first", "iteration", "start")

    def __init__(self, first: Stamp, iteration: str = "") -> None:
        self.first = first
        self.iteration = iteration
        self.start: Parsed | None = None
        self.end: Parsed | None = None


class Parts:
    """Made of a document's events, in order."""

    def __init__(self, events: Sequence[Parsed]) -> None:
        self.workflow = events[0].workflow if events else ""
        self.run = Node(("", "", 0, ""))
        self.nodes: dict[str, dict[str, Node]] = {kind: {} for kind in shape.NODES}
        self.calls: list[Parsed] = []
        self.facts: dict[str, list[Parsed]] = {type_: [] for type_ in shape.FACTS}
        self.decisions: list[Parsed] = []
        self.others: list[Parsed] = []
        calls, facts, workflow = self.calls, self.facts, self.workflow
        for event in events:
            if event.seq < 0 or event.id != f"{event.pid}-{event.seq}" or event.workflow != workflow:
                self.others.append(event)
            elif event.type == types.ACTION:
                calls.append(event)
            elif event.type in facts:
                facts[event.type].append(event)
            elif not self._take(event):
                self.others.append(event)
        self.action_of: dict[str, str] = {}
        """Id of the half by whose time an action node stands among the calls -> the node's id."""
        self.inner = self._inner()
        """Calls, and such a half of each action node, in order."""
        self._settle()
        self.others.sort(key=stamp)

    def _inner(self) -> list[Parsed]:
        actions = self.nodes["action"]
        if not actions:
            return self.calls
        for node in actions.values():
            self._part_from_contradiction(node)
        halves = [half for node in actions.values() if (half := node.start or node.end)]
        self.action_of = {half.id: key for half, key in zip(halves, actions, strict=True)}
        return sorted([*self.calls, *halves], key=stamp)

    def _take(self, event: Parsed) -> bool:
        if event.type == types.RUN_START:
            return self._start(self.run, event)
        if event.type == types.RUN_END:
            return self._end(self.run, event)
        if event.type in shape.DECISIONS:
            self.decisions.append(event)
            return True
        kind, is_start = _HALVES.get(event.type, ("", False))
        if not kind or not (key := getattr(event, kind)):
            return False
        node = self._node(kind, key, event)
        return self._start(node, event) if is_start else self._end(node, event)

    def _node(self, kind: str, key: str, event: Parsed) -> Node:
        nodes = self.nodes[kind]
        node = nodes.get(key)
        if node is None:
            node = nodes[key] = Node(stamp(event), event.iteration)
        return node

    def _start(self, node: Node, event: Parsed) -> bool:
        if node.start is None:
            node.start = event
            node.iteration = event.iteration
            return True
        return False

    def _end(self, node: Node, event: Parsed) -> bool:
        if node.end is not None:
            self.others.append(node.end)
        node.end = event
        return True

    def _part_from_contradiction(self, node: Node) -> None:
        """An end that contradicts its start becomes one of the others."""
        if node.start and node.end and shape.belongs(node.start) != shape.belongs(node.end):
            self.others.append(node.end)
            node.end = None

    def _settle(self) -> None:
        """What actions and turns refer to gets a place."""
        interactions, iterations = self.nodes["interaction"], self.nodes["iteration"]
        for node in (self.run, *interactions.values(), *iterations.values()):
            self._part_from_contradiction(node)
        outside = []
        for event in self.inner:
            if not event.interaction:
                outside.append(event)
            elif event.interaction not in interactions:
                self._node("interaction", event.interaction, event)
        for node in interactions.values():
            if node.iteration and node.iteration not in iterations:
                iterations[node.iteration] = Node(node.first)
        for event in outside:
            if event.iteration:
                self._node("iteration", event.iteration, event)
