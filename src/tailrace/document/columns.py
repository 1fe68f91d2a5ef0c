"""The totals of objects that all name the same whole numbers, as the `tokens` of one library do: name by name.

A decoder that knows the names is several times as fast as dicts that are looked through one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Annotated, Any

import msgspec

_MAX_KINDS = 64
_MAX_NAMES = 16
_Count = Annotated[int, msgspec.Meta(ge=0, lt=10**15)]
_any = msgspec.json.Decoder()


class _Kind:
    """Objects of just these names, each a whole number that can be summed."""

    def __init__(self, names: tuple[str, ...]) -> None:
        fields = {f"n{place}": name for place, name in enumerate(names)}
        row = msgspec.defstruct(
            "Row", [(field, _Count) for field in fields], rename=fields, forbid_unknown_fields=True, gc=False
        )
        self.decode: Callable[[bytes], list[Any]] = msgspec.json.Decoder(list[row]).decode  # type: ignore[valid-type]
        self.columns = {name: attrgetter(field) for field, name in fields.items()}


class _Kinds(dict[tuple[str, ...], "_Kind | None"]):
    """By their names; None beyond so many, whatever names come: each makes a type, and those stay."""

    def __missing__(self, names: tuple[str, ...]) -> _Kind | None:
        if len(self) >= _MAX_KINDS or not 0 < len(names) <= _MAX_NAMES:
            return None
        try:
            found = _Kind(names)
        except (ValueError, UnicodeError):  # a name that JSON escapes
            found = None
        self[names] = found
        return found


_kinds = _Kinds()


def added_up(raws: Sequence[msgspec.Raw | bytes]) -> dict[str, float] | None:
    """What `totals.add_tokens` would come to for them all; None where they are no such objects."""
    kind = _kind_of(raws[0]) if raws else None
    if kind is None:
        return None
    try:
        rows = kind.decode(b"[%b]" % b",".join(raws))
    except msgspec.MsgspecError:
        return None
    totals: dict[str, float] = {name: sum(map(get, rows)) for name, get in kind.columns.items()}
    if "total" not in totals:
        totals["total"] = sum(totals.values())
    return totals


def _kind_of(raw: msgspec.Raw | bytes) -> _Kind | None:
    try:
        first = _any.decode(raw)
    except msgspec.MsgspecError:
        return None
    return _kinds[tuple(first)] if isinstance(first, dict) else None
