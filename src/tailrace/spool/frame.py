"""A frame: one record in a segment. Found again after any damage: magic, lengths and a checksum.

Layout, little endian: magic `TRF` and the version byte 1; flags u8 (0); key length u8; topic length u16; value length
u32; sequence u64; span id 8 bytes (zero: none); topic; key; value; CRC-32 (zlib) of all before it, u32.
"""

from __future__ import annotations

import struct
from typing import NamedTuple
from zlib import crc32

MAGIC = b"TRF\x01"
HEADER = struct.Struct("<4sBBHIQ8s")
TRAILER = struct.Struct("<I")
NO_SPAN = bytes(8)
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


def pack(seq: int, topic: bytes, key: bytes, span: bytes, value: bytes) -> bytes:
    """The frame as it stands in a segment."""
    head = HEADER.pack(MAGIC, 0, len(key), len(topic), len(value), seq, span) + topic + key
    return b"".join((head, value, TRAILER.pack(crc32(value, crc32(head)))))


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
    if end > len(buffer) or TRAILER.unpack_from(buffer, trailer)[0] != crc32(memoryview(buffer)[at:trailer]):
        return None
    topic = buffer[body:key_at].decode()
    return Frame(seq, topic, buffer[key_at:value_at], span, buffer[value_at:trailer], base + end)


def _next_whole(buffer: bytes, at: int, base: int) -> int:
    while (at := buffer.find(MAGIC, at)) >= 0:
        if _frame_at(buffer, at, base) is not None:
            return at
        at += 1
    return -1
