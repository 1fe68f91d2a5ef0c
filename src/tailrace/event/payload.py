"""Any value as JSON: what is logged is what stood there at the call, and never an exception.

The fast path hands the value to msgspec's encoder, which takes what JSON, dataclasses, attrs, msgspec Structs,
datetimes, UUIDs, Decimals, enums, sets and bytes (base64) come to; NaN and the infinities become null, as in
JavaScript. What it refuses (odd keys, lone surrogates, cycles) goes through `plain`, leaf by leaf. A leaf that has no
JSON form becomes a marked stand-in, `{"$unencodable": "<type>", "repr": "..."}`.

Two things are not looked at: a `msgspec.Raw` is taken for the JSON that it says it is, and keys that become equal as
texts (1 and "1") both stand in the fast path's object, of which readers keep the last.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections import deque
from collections.abc import ItemsView, KeysView, Mapping, ValuesView
from sys import getrecursionlimit
from typing import Any

import msgspec

from tailrace.event.nesting import is_deeper

_MAX_REPR = 1_000
_MAX_DEPTH = 64
_MAX_KEPT = 1_000
"""Characters of an oversize value that stay readable in its stand-in."""
_SMALL = 4_096
_MAX_BITS = 14_000
"""Of an integer: about the 4,300 digits that Python reads by default."""
_READABLE = 600
"""Levels of nesting: what surrounds a payload, and readers that are some way down a stack, need some as well."""
_SHORT = 2 * _READABLE
"""Bytes that cannot be nested so deep."""
_MAX_RECURSION = 10_000
"""Where Python's limit has been raised above this, only the end of C's stack would stop the encoder in a cycle."""
_CONTAINERS = (Mapping, deque, KeysView, ValuesView, ItemsView)

_inside = threading.local()


def default(value: Any) -> Any:
    """What the encoder calls for a type it does not know.

    The value's own code may run here (`__repr__`, `model_dump`); if that code logs, the inner call is encoded with
    type names only, so that it cannot come back here for ever.
    """
    if getattr(_inside, "active", False):
        return _marked(value, "")
    _inside.active = True
    try:
        return _known_form(value)
    except Exception:  # noqa: BLE001 - the value's own code, whatever it does
        return _marked(value, "")
    finally:
        _inside.active = False


encoder = msgspec.json.Encoder(enc_hook=default)
_encode = encoder.encode  # a name of its own: one look-up less in every logging call
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def encode(data: Any) -> bytes:
    """A Struct with any values in it as JSON. The values are read once, now; never deeper than readers can take."""
    if getrecursionlimit() <= _MAX_RECURSION:
        try:
            body = _encode(data)
            if len(body) < _SHORT or not is_deeper(body, _READABLE):
                return body
        except Exception:  # noqa: BLE001 - RecursionError, UnicodeEncodeError, whatever an iterator of the caller's raises
            return _encode(plain(data))
    return _encode(plain(data))


def shorten(body: bytes) -> bytes:
    """An encoded payload with each large field replaced by its length, hash and beginning."""
    fields = _fields.decode(body)
    return encoder.encode({name: raw if len(raw) <= _SMALL else _cut(bytes(raw)) for name, raw in fields.items()})


def plain(value: Any, depth: int = 0, above: tuple[int, ...] = ()) -> Any:
    """The value built only of what JSON has, with stand-ins for the rest."""
    try:
        return _plain(value, depth, above)
    except Exception:  # noqa: BLE001 - the value's own code, whatever it does
        return _marked(value, "")


def _plain(value: Any, depth: int, above: tuple[int, ...]) -> Any:
    if value is None or isinstance(value, bool | str | int | float):
        return _plain_scalar(value)
    if id(value) in above:
        return {"$cycle": type(value).__name__}
    if depth >= _MAX_DEPTH:
        return _marked(value, "nested too deeply")
    above = (*above, id(value))
    if isinstance(value, Mapping):
        return _plain_mapping(value, depth, above)
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, depth + 1, above) for item in [*value]]
    return _plain_struct(value, depth, above) if isinstance(value, msgspec.Struct) else _plain_object(value)


def _plain_object(value: Any) -> Any:
    try:
        body = encoder.encode(value)
        return _marked(value, "nested too deeply") if is_deeper(body, _READABLE) else msgspec.json.decode(body)
    except Exception:  # noqa: BLE001 - the value's own code, whatever it does
        return _marked(value, _repr(value))


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        return _marked(value, hex(value)[:_MAX_REPR])
    return value


def _plain_mapping(value: Mapping[Any, Any], depth: int, above: tuple[int, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in [*value.items()]:
        name = _text(key) if isinstance(key, str) else _repr(key)
        if name in found:  # 1 and "1" are two keys
            name = f"{name}~{len(found)}"
        found[name] = plain(item, depth + 1, above)
    return found


def _plain_struct(value: msgspec.Struct, depth: int, above: tuple[int, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    defaults = dict(zip(reversed(value.__struct_fields__), reversed(value.__struct_defaults__), strict=False))
    for field, name in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True):
        item = getattr(value, field)
        if value.__struct_config__.omit_defaults and field in defaults and _is_default(item, defaults[field]):
            continue
        found[name] = plain(item, depth + 1, above)
    return found


def _is_default(item: Any, default_: Any) -> bool:
    if item is None or isinstance(item, bool | int | float | str):
        return bool(item == default_)
    return isinstance(item, list | dict) and not item and not isinstance(default_, str | int | float)


def _known_form(value: Any) -> Any:
    dump = getattr(type(value), "model_dump", None)
    if dump is not None:  # pydantic
        return dump(value, mode="python", warnings=False)
    if isinstance(value, BaseException):
        return {"type": type(value).__name__, "message": _text(str(value))}
    item = getattr(type(value), "item", None)
    if item is not None and getattr(value, "shape", None) == ():  # a NumPy scalar
        return item(value)
    if isinstance(value, _CONTAINERS):
        return dict(value) if isinstance(value, Mapping) else [*value]
    if hasattr(value, "__fspath__"):
        return str(value)
    return _marked(value, _repr(value))


def _marked(value: Any, shown: str) -> dict[str, str]:
    type_ = type(value)
    try:
        name = f"{type_.__module__}.{type_.__qualname__}"
    except Exception:  # noqa: BLE001 - a metaclass's own code
        name = "?"
    return {"$unencodable": name, "repr": shown}


def _repr(value: Any) -> str:
    try:
        shown = repr(value)
    except Exception as error:  # noqa: BLE001
        return f"<repr raised {type(error).__name__}>"
    return _text(shown if len(shown) <= _MAX_REPR else f"{shown[:_MAX_REPR]}...")


def _text(value: str) -> str:
    """Lone surrogates, which UTF-8 lacks, as their escapes."""
    return str.encode(value, "utf-8", "backslashreplace").decode()  # a subclass may have an `encode` of its own


def _cut(body: bytes) -> dict[str, Any]:
    return {
        "$truncated": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "head": body[:_MAX_KEPT].decode("utf-8", "ignore"),
    }
