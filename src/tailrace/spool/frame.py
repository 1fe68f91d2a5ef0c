"""A frame: one event in a segment. Found again after any damage: magic, lengths and a checksum.

Layout, little endian: magic `TRF` and the version byte 1; body length u32; `n` u32; sequence u64; time u64,
microseconds since 1970; type u8; then what the frames of one place in a run share, its route: key length u8, topic
length u16, text length u16, span id 8 bytes (zero: none), key, topic, text; then the body; then a checksum u32.

The body is the event's `data` as JSON, and the text the shared part of its envelope (`tailrace.event.wire`): whoever
reads the frame puts the event together, so that a logging call need not. With type 0 the body is the whole value.

The checksum is the CRC-32 (zlib) of the route, then what is before it, then the body: in this order, so that the route
is summed once for all its frames. A wrong length puts the checksum elsewhere.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from zlib import crc32

import msgspec

from tailrace.event import types, wire

MAGIC = b"TRF\x01"
WHOLE = 0
"""In the place of a type: the body is the value."""
_COUNTS = struct.Struct("<4sIIQQB")
_LENGTHS = struct.Struct("<BHH8s")
_pack_counts = _COUNTS.pack
_unpack_counts = _COUNTS.unpack_from
_ROUTE_AT = _COUNTS.size
_CHECK = struct.Struct("<I")
_pack_check = _CHECK.pack
_LEAST = _COUNTS.size + _LENGTHS.size + _CHECK.size
NO_SPAN = bytes(8)
_CODES = frozenset((WHOLE, *types.CODES.values()))
"""A new one makes a new version: an older reader must leave such a segment alone, not skip what it takes for damage."""
MAX_VALUE = 16 << 20
"""No body is larger: a length beyond it is damage, not something to wait for."""


class Route:
    """What the frames of one topic, key and place in a run share. Immutable."""

    __slots__ = ("key", "packed", "seed", "span", "text", "topic")

    def __init__(self, topic: str, key: bytes, span: bytes = NO_SPAN, text: bytes = b"") -> None:
        self.topic, self.key, self.span, self.text = topic, key, span, text
        name = topic.encode()
        self.packed = _LENGTHS.pack(len(key), len(name), len(text), span) + key + name + text
        self.seed = crc32(self.packed)
        """What the checksums of its frames begin with."""

    def frame(self, seq: int, n: int, microseconds: int, code: int, body: bytes) -> bytes:
        """The frame of one event, as it stands in a segment."""
        counts = _pack_counts(MAGIC, len(body), n, seq, microseconds, code)
        check = crc32(body, crc32(counts, self.seed))
        return b"".join((counts, self.packed, body, _pack_check(check)))


_NOWHERE = Route("", b"")


class Frame(msgspec.Struct, frozen=True, gc=False):
    """An event as it stands in a segment; `end` is the offset behind it."""

    route: Route
    seq: int
    n: int
    microseconds: int
    code: int
    body: bytes
    end: int = 0

    @property
    def value(self) -> bytes:
        """The event as it goes to the bus."""
        if self.code == WHOLE:
            return self.body
        return wire.compose(self.route.text, self.seq, self.code, self.microseconds, self.n, self.body)


class Parsed(msgspec.Struct, frozen=True):
    """`consumed` bytes are done with; `damaged` of them belonged to no whole frame."""

    frames: list[Frame]
    consumed: int
    damaged: int


def pack(seq: int, topic: str, key: bytes, span: bytes, value: bytes) -> bytes:
    """The frame of a whole value, which shares nothing with others."""
    return Route(topic, key, span).frame(seq, 0, 0, WHOLE, value)


def parse(buffer: bytes, base: int = 0, *, final: bool, verify: bool = True, earlier: bytes = b"") -> Parsed:
    """The frames of a segment's bytes, which begin at offset `base` of it.

    Damaged bytes in front of a whole frame are skipped. Bytes at the end that are no whole frame are left for the
    next call: their writer may be in the middle of them, and zeros are room that is not written yet. With `final`
    nobody writes any more: zeros at the end are room that was left, anything else is damage. Without `verify` no
    checksum is looked at: for what this very process wrote, and knows to be whole. `earlier`: the same bytes as they
    stood before `buffer` was read, while their writer was seen alive; a frame that had a successor then was whole, and
    its checksum is not looked at either.
    """
    frames: list[Frame] = []
    damaged = 0
    at = _take(buffer, 0, base, frames, verify=verify, earlier=earlier)
    while at < len(buffer):
        found = _next_whole(buffer, at + 1, base)
        if found < 0:
            if final:
                damaged += len(buffer[at:].rstrip(b"\0"))
                at = len(buffer)
            break
        damaged += found - at
        at = _take(buffer, found, base, frames, verify=verify)
    return Parsed(frames, at, damaged)


def _take(buffer: bytes, at: int, base: int, frames: list[Frame], *, verify: bool, earlier: bytes = b"") -> int:
    """Add the frames from `at` on, as far as one follows the other; gives the offset behind them."""
    had_successor = earlier.startswith
    route, packed = _NOWHERE, _NOWHERE.packed
    last = len(buffer) - _LEAST
    while at <= last:
        magic, length, n, seq, microseconds, code = _unpack_counts(buffer, at)
        if magic != MAGIC or length > MAX_VALUE or code not in _CODES:
            break
        names = at + _ROUTE_AT
        if not buffer.startswith(packed, names):  # the frame before it is mostly of the same place
            found = _route_at(buffer, names)
            if found is None:
                break
            route, packed = found, found.packed
        body_at = names + len(packed)
        check_at = body_at + length
        end = check_at + _CHECK.size
        if end > len(buffer):
            break
        body = buffer[body_at:check_at]
        if (
            verify
            and not had_successor(MAGIC, end)
            and buffer[check_at:end] != _pack_check(crc32(body, crc32(buffer[at:names], route.seed)))
        ):
            break
        frames.append(Frame(route, seq, n, microseconds, code, body, base + end))
        at = end
    return at


def _route_at(buffer: bytes, at: int) -> Route | None:
    of_key, of_topic, of_text, _ = _LENGTHS.unpack_from(buffer, at)
    packed = buffer[at : at + _LENGTHS.size + of_key + of_topic + of_text]
    try:
        return _route(packed)
    except (UnicodeDecodeError, struct.error):  # no producer writes that; or it is cut off
        return None


@lru_cache(maxsize=1024)
def _route(packed: bytes) -> Route:
    of_key, of_topic, _, span = _LENGTHS.unpack_from(packed)
    names = packed[_LENGTHS.size :]
    topic_at, text_at = of_key, of_key + of_topic
    return Route(names[topic_at:text_at].decode(), names[:topic_at], span, names[text_at:])


def _next_whole(buffer: bytes, at: int, base: int) -> int:
    while (at := buffer.find(MAGIC, at)) >= 0:
        if _take(buffer, at, base, [], verify=True) > at:
            return at
        at += 1
    return -1
