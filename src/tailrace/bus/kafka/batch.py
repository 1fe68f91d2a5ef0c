"""A batch of records as Kafka keeps it (record batch of magic 2), put together in one copy.

aiokafka's own builder encodes the headers of each record anew, which costs more than all the rest of a record. Here
what consecutive records share, their key and their headers, is encoded once, and one `join` makes the batch.
Layout: https://kafka.apache.org/documentation/#recordbatch
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.util import calc_crc32c

from tailrace.bus import Headers, Record

_LEADING = struct.Struct(">qiib")
"""Base offset, length of what follows it, leader epoch, magic: what no checksum covers, as the broker writes to it."""
_CHECK = struct.Struct(">I")
_COVERED = struct.Struct(">hiqqqhii")
"""Attributes, last offset's delta, first and last time, producer id, epoch and sequence (none), number of records."""
_LEADING_BYTES = _LEADING.size + _CHECK.size
_UNCOUNTED = 12
"""Bytes of a batch that its length does not count: the base offset and the length itself."""
_LENGTH_ROOM = 5
_START = b"\0\0"
"""Of a record: no attributes, and the batch's own time."""
_KEPT_NUMBERS = 1 << 16


class _Varints(dict[int, bytes]):
    """Number from 0 on -> zigzag varint of Protocol Buffers, as Kafka writes lengths; small ones are kept."""

    def __missing__(self, number: int) -> bytes:
        rest, encoded = number << 1, bytearray()
        while rest > 0x7F:  # noqa: PLR2004 - seven bits a byte
            encoded.append(rest & 0x7F | 0x80)
            rest >>= 7
        encoded.append(rest)
        found = bytes(encoded)
        if number < _KEPT_NUMBERS:
            self[number] = found
        return found


_varint = _Varints()


class Packed(BatchBuilder):  # type: ignore[misc]  # aiokafka is not typed
    """What `AIOKafkaProducer.send_batch` takes: a batch that is whole already, of `count` records."""

    def __init__(self, content: bytearray, count: int) -> None:
        self._buffer = content
        self._relative_offset = count
        self._closed = True


def packed(records: Sequence[Record], start: int, limit: int, now: int) -> Packed:
    """The batch of the records from `start` on, as many as fit into `limit` bytes, at least one.

    `now`: the time of them all, milliseconds since 1970. Not compressed.
    """
    parts = [bytes(_LEADING_BYTES), b""]
    add, varint = parts.extend, _varint
    key: bytes | None = None
    headers: Headers | None = None
    key_part = headers_part = b""
    shared = 0
    room = limit - _LEADING_BYTES - _COVERED.size
    count = 0
    for index in range(start, len(records)):
        record = records[index]
        if record.key is not key or record.headers is not headers:  # those of one place in a run come together
            key, headers = record.key, record.headers
            key_part, headers_part = varint[len(key)] + key, _headers(headers)
            shared = len(_START) + len(key_part) + len(headers_part)
        value = record.value
        offset, size = varint[count], varint[len(value)]
        length = shared + len(offset) + len(size) + len(value)
        room -= length + _LENGTH_ROOM
        if room < 0 and count:
            break
        add((varint[length], _START, offset, key_part, size, value, headers_part))
        count += 1
    parts[1] = _COVERED.pack(0, count - 1, now, now, -1, -1, -1, count)
    return Packed(_sealed(bytearray().join(parts)), count)


def _sealed(content: bytearray) -> bytearray:
    """Write what stands before the part with a checksum, and the checksum."""
    _LEADING.pack_into(content, 0, 0, len(content) - _UNCOUNTED, -1, 2)
    with memoryview(content) as view, view[_LEADING_BYTES:] as covered:
        check = calc_crc32c(covered)
    _CHECK.pack_into(content, _LEADING.size, check)
    return content


def _headers(headers: Headers) -> bytes:
    parts = [_varint[len(headers)]]
    for name, value in headers:
        encoded = name.encode()
        parts += (_varint[len(encoded)], encoded, _varint[len(value)], value)
    return b"".join(parts)
