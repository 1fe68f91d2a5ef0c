"""The exact way: every key and text of a decoded payload."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Mask = Callable[[bytes], bytes]
"""Gives a UTF-8 text with its secrets masked."""

_MASK = "[redacted]"
_NAME = "agent_name"
"""The field of `data` that repeats a name of the envelope, and is no payload."""


class TreeMask:
    """Masks one payload in place. Without recursion: whatever depth could be read can be masked."""

    def __init__(self, is_secret: Callable[[str], bool], masks: list[Mask]) -> None:
        self._is_secret = is_secret
        self._masks = masks
        self._todo: list[dict[str, Any] | list[Any]] = []
        self.changed = False

    def mask(self, data: dict[str, Any]) -> None:
        name = data.pop(_NAME, None)
        self._todo = [data]
        while self._todo:
            container = self._todo.pop()
            if isinstance(container, dict):
                self._object(container)
            else:
                container[:] = [self._value(item) for item in container]
        if name is not None:
            data[_NAME] = name

    def _object(self, found: dict[str, Any]) -> None:
        masked: dict[str, Any] = {}
        for key, item in found.items():
            name = self._text(key)
            if name in masked:
                name = f"{name}~{len(masked)}"
            if self._is_secret(key) and _may_be_secret(item):
                masked[name] = _MASK
                self.changed = True
            else:
                masked[name] = self._value(item)
        found.clear()
        found.update(masked)

    def _value(self, item: Any) -> Any:
        if isinstance(item, str):
            return self._text(item)
        if isinstance(item, dict | list):
            self._todo.append(item)
        return item

    def _text(self, text: str) -> str:
        before = masked = text.encode()
        for mask in self._masks:
            masked = mask(masked)
        if masked == before:
            return text
        self.changed = True
        return masked.decode()


def _may_be_secret(item: Any) -> bool:
    """Null, true, false and the empty values tell only whether there is one."""
    return not isinstance(item, bool) and (bool(item) or isinstance(item, int | float))
