"""A frame: one record in a segment. Found again after any damage: magic, lengths and a checksum.

Layout, little endian: magic `TRF` and the version byte 1; flags u8 (0); key length u8; topic length u16; value length
u32; sequence u64; span id 8 bytes (zero: none); topic; key; value; checksum u32.

The checksum is the CRC-32 (zlib) of the head with value length and sequence zero, topic, key and value, exclusive-or
both halves of the sequence. A wrong value length puts the checksum elsewhere. So the part that frames of one place in a
run share is summed once (`Route`), and only the value for each.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

MAGIC = b"TRF\x01"
HEADER = struct.Struct("<4sBBHIQ8s")
TRAILER = struct.Struct("<I")
_COUNTS = struct.Struct("<IQ")
_COUNTS_AT = 8
_COUNTS_END = _COUNTS_AT + _COUNTS.size
_LOW = 0xFFFFFFFF
NO_SPAN = bytes(8)
_NO_COUNTS = bytes(_COUNTS.size)
MAX_VALUE = 16 << 20
"""No frame is larger: a length beyond it is damage, not something to wait for."""


class Frame(NamedTuple):
    """A record as it stands in a segment; `end` is the offset behind it."""

    seq: int
    topic: str
    key: bytes
    span: bytes
    value: bytes
    end: int


class Parsed(NamedTuple):
    """`consumed` bytes are done with; `damaged` of them belonged to no whole frame."""

    frames: list[Frame]
    consumed: int
    damaged: int


class Route:
    """What the frames of one topic, key and span share. Immutable."""

    __slots__ = ("_after", "_before", "_seed")

    def __init__(self, topic: bytes, key: bytes, span: bytes) -> None:
        head = HEADER.pack(MAGIC, 0, len(key), len(topic), 0, 0, span) + topic + key
        self._before, self._after = head[:_COUNTS_AT], head[_COUNTS_END:]
        self._seed = crc32(head)

    def frame(self, seq: int, value: bytes) -> bytes:
        """The frame of one record, as it stands in a segment."""
        check = crc32(value, self._seed) ^ (seq & _LOW) ^ (seq >> 32)
        counts = _COUNTS.pack(len(value), seq)
        return b"".join((self._before, counts, self._after, value, TRAILER.pack(check)))


def pack(seq: int, topic: bytes, key: bytes, span: bytes, value: bytes) -> bytes:
    """A frame that shares nothing with others."""
    return Route(topic, key, span).frame(seq, value)


def parse(buffer: bytes, base: int = 0, *, final: bool) -> Parsed:
    """The frames of a segment's bytes, which begin at offset `base` of it.

    Damaged bytes in front of a whole frame are skipped. Bytes at the end that are no whole frame are left for the
    next call: their writer may be in the middle of them, and zeros are room that is not written yet. With `final`
    nobody writes any more: zeros at the end are room that was left, anything else is damage.
    """
    frames: list[Frame] = []
    at, damaged = 0, 0
    while at < len(buffer):
        frame = _frame_at(buffer, at, base)
        if frame is not None:
            frames.append(frame)
            at = frame.end - base
            continue
        found = _next_whole(buffer, at + 1, base)
        if found < 0:
            if final:
                damaged += len(buffer[at:].rstrip(b"\0"))
                at = len(buffer)
            break
        damaged += found - at
        at = found
    return Parsed(frames, at, damaged)


def _frame_at(buffer: bytes, at: int, base: int) -> Frame | None:
    """The whole frame that begins at `at`; None where there is none (yet)."""
    body = at + HEADER.size
    if body > len(buffer):
        return None
    magic, _, key_length, topic_length, value_length, seq, span = HEADER.unpack_from(buffer, at)
    if magic != MAGIC or value_length > MAX_VALUE:
        return None
    key_at = body + topic_length
    value_at = key_at + key_length
    trailer = value_at + value_length
    end = trailer + TRAILER.size
    if end > len(buffer):
        return None
    shared = b"".join((buffer[at : at + _COUNTS_AT], _NO_COUNTS, buffer[at + _COUNTS_END : value_at]))
    check = crc32(memoryview(buffer)[value_at:trailer], _seed(shared)) ^ (seq & _LOW) ^ (seq >> 32)
    if check != TRAILER.unpack_from(buffer, trailer)[0]:
        return None
    try:
        topic = buffer[body:key_at].decode()
    except UnicodeDecodeError:  # no producer writes that, whatever the checksum says
        return None
    return Frame(seq, topic, buffer[key_at:value_at], span, buffer[value_at:trailer], base + end)


@lru_cache(maxsize=1024)
def _seed(shared: bytes) -> int:
    return crc32(shared)


def _next_whole(buffer: bytes, at: int, base: int) -> int:
    while (at := buffer.find(MAGIC, at)) >= 0:
        if _frame_at(buffer, at, base) is not None:
            return at
        at += 1
    return -1
