"""Records of one topic, key and headers kept together: one object for many records, and theirs only where one asks.

Who ships an agent's events has many of one place in a run after the other. A bus may take the bundles as they are; to
all others `Bundled` is a sequence of records like any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import msgspec

from tailrace.bus import Headers, Received, Record
from tailrace.bus.topics import partition_of


class Bundle(msgspec.Struct, frozen=True, gc=False):
    """Values that follow one another and share all else. Whoever made it may add to `values` until it is published."""

    topic: str
    key: bytes
    headers: Headers
    values: list[bytes]


class Bundled(Sequence[Record]):
    """The records of bundles, in order."""

    def __init__(self, bundles: Sequence[Bundle]) -> None:
        self.bundles = bundles
        self._count = sum([len(bundle.values) for bundle in bundles])

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Record]:
        for bundle in self.bundles:
            topic, key, headers = bundle.topic, bundle.key, bundle.headers
            for value in bundle.values:
                yield Record(topic, key, value, headers)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Bundled: ...
    def __getitem__(self, index: int | slice) -> Record | Bundled:
        """Takes as long as there are bundles, or with a slice records."""
        if isinstance(index, slice):
            return bundled(list(self)[index])
        left = range(self._count)[index]
        for bundle in self.bundles:
            if left < len(bundle.values):
                return Record(bundle.topic, bundle.key, bundle.values[left], bundle.headers)
            left -= len(bundle.values)
        raise AssertionError("a bundle lost values after it was counted")

    def moved(self, topic: str) -> Bundled:
        """The same for another topic."""
        return Bundled([Bundle(topic, each.key, each.headers, each.values) for each in self.bundles])


def bundled(records: Iterable[Record | Bundle]) -> Bundled:
    """The records as bundles; those that are so already, as they are."""
    if isinstance(records, Bundled):
        return records
    bundles: list[Bundle] = []
    topic = ""
    key: bytes | None = None
    headers: Headers = ()
    values: list[bytes] = []
    for record in records:
        if isinstance(record, Bundle):
            bundles.append(record)
            key = None
        elif record.key == key and record.headers == headers and record.topic == topic:
            values.append(record.value)
        else:
            topic, key, headers, values = record.topic, record.key, record.headers, [record.value]
            bundles.append(Bundle(topic, key, headers, values))
    return Bundled(bundles)


def extend(bundles: list[Bundle], records: Iterable[Received], topic: str) -> None:
    """Add what was read from one topic to bundles for the given one; the last of them may grow."""
    last = bundles[-1] if bundles else None
    for record in records:
        if last is not None and record.headers == last.headers and record.key == last.key and last.topic == topic:
            last.values.append(record.value)
        else:
            last = Bundle(topic, record.key, record.headers, [record.value])
            bundles.append(last)


def by_topic(records: Iterable[Record]) -> dict[str, Bundled]:
    found: dict[str, list[Bundle]] = {}
    for bundle in bundled(records).bundles:
        found.setdefault(bundle.topic, []).append(bundle)
    return {topic: Bundled(own) for topic, own in found.items()}


def by_partition(records: Bundled, partitions: int) -> dict[int, Bundled]:
    """The records of one topic by the partition, of so many, that their keys belong to."""
    if partitions == 1:
        return {0: records}
    found: dict[int, list[Bundle]] = {}
    for bundle in records.bundles:
        found.setdefault(partition_of(bundle.key, partitions), []).append(bundle)
    return {partition: Bundled(own) for partition, own in found.items()}
