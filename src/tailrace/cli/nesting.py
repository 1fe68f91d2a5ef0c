"""Which nodes of a document began inside which: a turn in another agent's turn or action, an action in an action."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

Element = dict[str, Any]

_MAX_DEPTH = 30
"""Levels of nesting that are shown; what is deeper, or begins inside itself, is shown at its place in the document."""


class Node(NamedTuple):
    """`kind`: iteration, interaction or action."""

    kind: str
    element: Element


class Nesting:
    """The nodes of a document by the node that they name as their `parent`. Parents are any value, and not trusted."""

    def __init__(self, document: Element) -> None:
        self._above: dict[str, str | None] = {}
        found = list(self._walk(document))
        self._inside: dict[str, list[Node]] = {}
        self._nested: set[int] = set()
        """By identity: a document may give two nodes one id."""
        for node in found:
            parent = node.element.get("parent")
            if isinstance(parent, str) and parent in self._above and self._ends(node.element["id"]):
                self._inside.setdefault(parent, []).append(node)
                self._nested.add(id(node.element))

    def _walk(self, document: Element) -> Iterator[Node]:
        yield from self._work(document, None)
        for iteration in document["iterations"]:
            yield from self._node("iteration", iteration, None)
            yield from self._work(iteration, iteration["id"])

    def _work(self, element: Element, place: str | None) -> Iterator[Node]:
        for interaction in element["interactions"]:
            yield from self._node("interaction", interaction, place)
            for action in interaction["actions"]:
                yield from self._node("action", action, interaction["id"])
        for action in element.get("actions", ()):
            yield from self._node("action", action, place)

    def _node(self, kind: str, element: Element, place: str | None) -> Iterator[Node]:
        id_ = element.get("id")
        if isinstance(id_, str):
            parent = element.get("parent")
            self._above[id_] = parent if isinstance(parent, str) else place
            yield Node(kind, element)

    def _ends(self, id_: str) -> bool:
        at: str | None = id_
        for _ in range(_MAX_DEPTH):
            at = self._above.get(at) if at is not None else None
            if at is None:
                return True
        return False

    def take(self, element: Element) -> list[Node]:
        """What began in the node, in the order of the document; each is given once."""
        return self._inside.pop(element.get("id", ""), [])

    def is_nested(self, element: Element) -> bool:
        """Whether it is shown inside another node, and so not at its place."""
        return id(element) in self._nested
