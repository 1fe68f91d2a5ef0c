"""What of a call is recorded: its arguments by name, and what it gave."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

RETURN = "return"
"""Stands for the result in `capture=` and `redact=`, as it does in a function's annotations."""

_MASK = "[redacted]"
_BOUND = frozenset({"self", "cls", "mcs"})
_MAX_ITEMS = 1_000


class Capture:
    """Made once for each decorated function.

    Raises:
        ValueError: `capture` or `redact` names what is no parameter of the function.
    """

    __slots__ = ("_hidden", "_named", "_positional", "_rest", "_wanted", "result")

    def __init__(self, fn: Callable[..., Any], capture: bool | Collection[str], redact: Collection[str]) -> None:
        self._positional: list[str] = []
        self._rest = "args"
        self._named: frozenset[str] | None = None
        """None: any keyword may be given."""
        self._read(fn)
        hidden = frozenset([redact] if isinstance(redact, str) else redact)
        wanted = None if isinstance(capture, bool) else frozenset([capture] if isinstance(capture, str) else capture)
        for option, names in (("redact", hidden), ("capture", wanted or frozenset())):
            self._check(fn, option, names)
        self._hidden = hidden
        self._wanted = frozenset[str]() if capture is False else wanted
        self.result = self._wanted is None or RETURN in self._wanted
        """Whether the result is recorded."""

    def _read(self, fn: Callable[..., Any]) -> None:
        try:
            parameters = list(inspect.signature(fn).parameters.values())
        except (TypeError, ValueError):  # some of those that are written in C have none
            return
        kinds = inspect.Parameter
        by_place = {kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD}
        self._positional = [each.name for each in parameters if each.kind in by_place]
        self._rest = next((each.name for each in parameters if each.kind is kinds.VAR_POSITIONAL), self._rest)
        if not any(each.kind is kinds.VAR_KEYWORD for each in parameters):
            self._named = frozenset(each.name for each in parameters)

    def _check(self, fn: Callable[..., Any], option: str, names: frozenset[str]) -> None:
        if self._named is None:
            return
        for name in sorted(names - self._named - {RETURN}):
            known = ", ".join([*sorted(self._named - _BOUND), f"and {RETURN!r} for the result"])
            raise ValueError(f"{option}={name!r} is no parameter of {_name(fn)}; it may be: {known}")

    def arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
        """What was passed, by parameter name and without `self`; None if there is nothing to record."""
        if self._wanted is not None and self._wanted <= {RETURN}:
            return None
        named: dict[str, Any] = dict(zip(self._positional, args, strict=False))
        if self._positional and self._positional[0] in _BOUND:
            named.pop(self._positional[0], None)
        if len(args) > len(self._positional):
            named[self._rest] = args[len(self._positional) :]
        named.update(kwargs)
        if self._wanted is not None:
            named = {name: value for name, value in named.items() if name in self._wanted}
        for name in self._hidden & named.keys():
            named[name] = _MASK
        return named or None

    def of_result(self, value: Any) -> Any:
        """The result as it is recorded; None if it is not."""
        if not self.result or value is None:
            return None
        return _MASK if RETURN in self._hidden else value


class Items:
    """What a generator yielded: the first 1,000 items are kept until it ends."""

    __slots__ = ("_first", "_wanted", "count")

    def __init__(self, *, wanted: bool) -> None:
        self._first: list[Any] = []
        self._wanted = wanted
        self.count = 0

    def add(self, item: Any) -> None:
        self.count += 1
        if self._wanted and len(self._first) < _MAX_ITEMS:
            self._first.append(item)

    def together(self) -> Any:
        """One text where all are texts, as a model streams them; else a list. None for no items."""
        if self._first and all(isinstance(item, str) for item in self._first):
            return "".join(self._first)
        return self._first or None


def _name(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__qualname__", None) or type(fn).__qualname__
