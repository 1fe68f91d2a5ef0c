"""A chunk: consecutive records of one partition, published together and kept in one row.

Its records share the time of their publish. Consecutive ones with the same key and headers, as those of one place in a
run have, state them once. Making and reading a chunk are one call into msgspec each: a row for each record would give
Python's interpreter lock away and wait for it again with each of them, beside the program that logs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from tailrace.bus import Headers, Partition, Received, Record
from tailrace.bus.bundle import bundled

CHUNK_BYTES = 128 << 10
"""Keys, values and headers of a chunk, as they are before encoding; a larger record is a chunk alone."""
CHUNK_RECORDS = 512
"""Bounds the time that small records take, too: tens of microseconds a chunk."""

_Place = tuple[bytes, Headers, list[bytes]]
"""A key, headers, and the values of the records that have them."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[_Place]).decode


def chunks_of(records: Iterable[Record]) -> Iterator[tuple[int, bytes]]:
    """The records of one partition in chunks, as their count and their bytes; each is made when asked for."""
    places: list[_Place] = []
    count = size = 0
    for bundle in bundled(records).bundles:
        key, headers = bundle.key, bundle.headers
        shared = _size_of(key, headers)
        values: list[bytes] = []
        for value in bundle.values:
            size += len(value) + (0 if values else shared)
            if count and (size > CHUNK_BYTES or count == CHUNK_RECORDS):
                yield count, _encode(places)
                places, values = [], []
                count, size = 0, shared + len(value)
            if not values:
                places.append((key, headers, values))
            values.append(value)
            count += 1
    if count:
        yield count, _encode(places)


def records_in(chunk: bytes, partition: Partition, offset: int, time: float) -> list[Received]:
    """The records of a chunk whose first one stands at `offset`."""
    topic, number = partition
    found: list[Received] = []
    for key, headers, values in _decode(chunk):
        found += [
            Received(topic, number, at, key, value, headers, time)
            for at, value in enumerate(values, offset + len(found))
        ]
    return found


def _size_of(key: bytes, headers: Headers) -> int:
    return len(key) + sum(len(name) + len(value) for name, value in headers)
