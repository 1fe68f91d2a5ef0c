"""The short form of the hostile records of `make soak-consumers`, and that they are what they are meant to be."""

import random

import msgspec
import pytest

from tailrace.document.restore import restore
from tailrace.errors import DecodeError
from tailrace.event import Event, decode, encode
from tests.system.consumers.hostile import Unreadable, strange
from tests.system.consumers.load import Agents
from tests.system.consumers.mixtures import read_hostile


@pytest.mark.timeout(240)
def test_hostile_records_stop_nothing_and_every_good_run_is_exact(kafka_url, tmp_path):
    verdict = read_hostile(kafka_url, tmp_path, seed=4, records=20_000)
    print(verdict)
    assert verdict.ok, verdict
    assert verdict.hostile > 1_000


def test_unreadable_values_differ_and_are_neither_events_nor_documents():
    source = Unreadable(random.Random(1))
    values = [source.value() for _ in range(2_000)]
    assert len(set(values)) == len(values)
    for value in values:
        for read in (decode, restore):
            with pytest.raises(DecodeError):
                read(value)


def test_strange_events_can_be_read():
    events = [event for event in Agents("x", seed=3, strange_runs=1.0).events(2_000) if "flight" not in repr_of(event)]
    assert len({event.type for event in events}) >= len({type_ for type_, *_ in strange(random.Random(1))})
    for event in events:
        assert same(decode(encode(event)), event)


def repr_of(event: Event) -> str:
    return bytes(event.data).decode()


def same(one: Event, other: Event) -> bool:
    return encode(one) == encode(other) and isinstance(one.data, msgspec.Raw)
