"""A frame: one event in a segment. Found again after any damage: magic, lengths and a checksum.

Layout, little endian: magic `TRF` and a version byte; body length u32; `n` u32; sequence u64; time u64,
microseconds since 1970; type u8; then what the frames of one place in a run share, its route: key length u8, topic
length u16, text length u16, span id 8 bytes (zero: none), key, topic, text; then the body; then a checksum.

The body is the event's `data` as JSON, and the text the shared part of its envelope (`tailrace.event.wire`): whoever
reads the frame puts the event together, so that a logging call need not. With type 0 the body is the whole value.

Version 2: the checksum is XXH3 (64 bits, in its canonical form) of the body, with that of what is before the route as
its seed, which has that of the route as its seed: so the route is summed once for all its frames. Version 1: 4 bytes,
the CRC-32 of zlib of the same in the same order. Version 2 is written and read where the package `xxhash` is (extra
`fast`), version 1 elsewhere, and read everywhere. A wrong length puts the checksum elsewhere.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

import msgspec

from tailrace.event import types, wire

try:
    from xxhash import xxh3_64_digest, xxh3_64_intdigest
except ImportError:
    has_xxhash = False
else:
    has_xxhash = True

MAGIC = b"TRF\x02" if has_xxhash else b"TRF\x01"
"""Of the newest version that can be read here, which is written."""
VERSION = MAGIC[-1]
_ANY_MAGIC = MAGIC[:-1]
WHOLE = 0
"""In the place of a type: the body is the value."""
_COUNTS = struct.Struct("<4sIIQQB")
_LENGTHS = struct.Struct("<BHH8s")
_pack_counts = _COUNTS.pack
_unpack_counts = _COUNTS.unpack_from
_ROUTE_AT = _COUNTS.size
_pack_crc = struct.Struct("<I").pack
NO_SPAN = bytes(8)
_CODES = frozenset((WHOLE, *types.CODES.values()))
"""A new one makes a new version: an older reader must leave such a segment alone, not skip what it takes for damage."""
ROUTES_KEPT = 4096
"""Of places in runs that are logged from in turns; some 2 MiB."""
CHECK_BYTES = 8
"""Of a checksum, at most. One frame in 256 ends in a zero, as does the room behind the last frame."""
MAX_VALUE = 16 << 20
"""No body is larger: a length beyond it is damage, not something to wait for."""


class Route:
    """What the frames of one topic, key and place in a run share. Immutable."""

    __slots__ = ("key", "packed", "seed", "span", "text", "topic")

    def __init__(self, topic: str, key: bytes, span: bytes = NO_SPAN, text: bytes = b"") -> None:
        self.topic, self.key, self.span, self.text = topic, key, span, text
        name = topic.encode()
        self.packed = _LENGTHS.pack(len(key), len(name), len(text), span) + key + name + text
        self.seed = _seed(self.packed)
        """Of the checksums of its frames."""

    def frame(self, seq: int, n: int, microseconds: int, code: int, body: bytes) -> bytes:
        """The frame of one event, as it stands in a segment."""
        counts = _pack_counts(MAGIC, len(body), n, seq, microseconds, code)
        return b"".join((counts, self.packed, body, _sum(body, _seed(counts, self.seed))))


class _Kind(NamedTuple):
    """A version of the layout: they differ in the checksum alone."""

    magic: bytes
    check_bytes: int
    seed: Callable[..., int]
    """(bytes, seed) -> the seed that they make of it."""
    sum: Callable[[bytes, int], bytes]
    """(body, seed) -> the checksum."""

    def check(self, route: Route, counts: bytes, body: bytes) -> bytes:
        return self.sum(body, self.seed(counts, self.seed(route.packed)))


_KINDS = [_Kind(b"TRF\x01", 4, crc32, lambda body, seed: _pack_crc(crc32(body, seed)))]
if has_xxhash:
    _KINDS.insert(0, _Kind(MAGIC, 8, xxh3_64_intdigest, xxh3_64_digest))
_seed, _sum = _KINDS[0].seed, _KINDS[0].sum
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


Row = tuple[Route, int, int, int, int, bytes, int]
"""The fields of a `Frame`, in their order: what is shipped by the million is not made an object each."""


class Parsed(msgspec.Struct, frozen=True):
    """`consumed` bytes are done with; `damaged` of them belonged to no whole frame."""

    rows: list[Row]
    consumed: int
    damaged: int

    @property
    def frames(self) -> list[Frame]:
        return [Frame(*row) for row in self.rows]


def pack(seq: int, topic: str, key: bytes, span: bytes, value: bytes) -> bytes:
    """The frame of a whole value, which shares nothing with others."""
    return Route(topic, key, span).frame(seq, 0, 0, WHOLE, value)


def parse(buffer: bytes, base: int = 0, *, final: bool, verify: bool = True) -> Parsed:
    """The frames of a segment's bytes, which begin at offset `base` of it.

    Damaged bytes in front of a whole frame are skipped. Bytes at the end that are no whole frame are left for the
    next call: their writer may be in the middle of them, and zeros are room that is not written yet. With `final`
    nobody writes any more: zeros at the end are room that was left, anything else is damage.

    Without `verify` only the last frame's checksum is looked at: for what is known to be whole, as this very process
    wrote it, or another that lives and had gone on behind these bytes before they were read. (Of the frame that it was
    at, the length may be torn, so that it looks like a shorter one; no frame begins where such a one ends.)
    """
    rows: list[Row] = []
    damaged = 0
    at = _take(buffer, 0, base, rows, verify=verify)
    while at < len(buffer):
        found = _next_whole(buffer, at + 1, base)
        if found < 0:
            if final:
                damaged += len(buffer[at:].rstrip(b"\0"))
                at = len(buffer)
            break
        damaged += found - at
        at = _take(buffer, found, base, rows, verify=verify)
    return Parsed(rows, at, damaged)


def _take(buffer: bytes, at: int, base: int, rows: list[Row], *, verify: bool) -> int:
    """Add the frames from `at` on, as far as one follows the other; gives the offset behind them."""
    begun = -1
    while at > begun:
        begun = at
        for kind in _KINDS:
            at = _take_kind(kind, buffer, at, base, rows, verify=verify)
    return at


def _take_kind(kind: _Kind, buffer: bytes, at: int, base: int, rows: list[Row], *, verify: bool) -> int:
    """As `_take`, of one version."""
    if not buffer.startswith(kind.magic, at):
        return at
    expected, check_bytes, check = kind.magic, kind.check_bytes, kind.check
    is_of, unpack, add = buffer.startswith, _unpack_counts, rows.append
    route, packed, size = _NOWHERE, _NOWHERE.packed, len(_NOWHERE.packed)
    last, whole, begin = len(buffer) - _ROUTE_AT - _LENGTHS.size - check_bytes, len(buffer), -1
    while at <= last:
        magic, length, n, seq, microseconds, code = unpack(buffer, at)
        if magic != expected or length > MAX_VALUE or code not in _CODES:
            break
        names = at + _ROUTE_AT
        if not is_of(packed, names):  # the frame before it is mostly of the same place
            found = _route_at(buffer, names)
            if found is None:
                break
            route, packed, size = found, found.packed, len(found.packed)
        check_at = names + size + length
        end = check_at + check_bytes
        if end > whole:
            break
        body = buffer[names + size : check_at]
        if verify and buffer[check_at:end] != check(route, buffer[at:names], body):
            break
        add((route, seq, n, microseconds, code, body, base + end))
        begin, at = at, end
    if not verify and begin >= 0:
        row = rows[-1]
        if buffer[at - check_bytes : at] != check(row[0], buffer[begin : begin + _ROUTE_AT], row[5]):
            rows.pop()
            return begin
    return at


def _route_at(buffer: bytes, at: int) -> Route | None:
    of_key, of_topic, of_text, _ = _LENGTHS.unpack_from(buffer, at)
    packed = buffer[at : at + _LENGTHS.size + of_key + of_topic + of_text]
    try:
        return _route(packed)
    except (UnicodeDecodeError, struct.error):  # no producer writes that; or it is cut off
        return None


@lru_cache(maxsize=ROUTES_KEPT)
def _route(packed: bytes) -> Route:
    of_key, of_topic, _, span = _LENGTHS.unpack_from(packed)
    names = packed[_LENGTHS.size :]
    topic_at, text_at = of_key, of_key + of_topic
    return Route(names[topic_at:text_at].decode(), names[:topic_at], span, names[text_at:])


def _next_whole(buffer: bytes, at: int, base: int) -> int:
    while (at := buffer.find(_ANY_MAGIC, at)) >= 0:
        if _take(buffer, at, base, [], verify=True) > at:
            return at
        at += 1
    return -1
