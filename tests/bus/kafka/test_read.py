"""How records come out of aiokafka."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from aiokafka.consumer import fetcher

from tailrace.bus.kafka import read
from tailrace.bus.kafka.read import hand_over, received
from tailrace.config import Config
from tailrace.registry import open_bus
from tests.conformance.bus_case import opened, records, values

pytestmark = [pytest.mark.anyio, pytest.mark.kafka]


def make_none(*_: object) -> NoReturn:
    raise AssertionError("aiokafka made a record of its own")


@pytest.mark.parametrize("group", [None, "readers"])
async def test_what_is_fetched_already_is_read_without_aiokafkas_own_records(
    kafka_url: str, prefix: str, monkeypatch: pytest.MonkeyPatch, group: str | None
):
    topic = f"{prefix}.events.a"
    sent = records(topic, 100)
    async with opened(open_bus(Config(bus=kafka_url))) as bus:
        await bus.publish(sent)
        async with bus.subscribe(topic, group=group and f"{prefix}-{group}") as subscription:
            first = []
            while not first:
                first = list((await subscription.receive(max_records=10)).records)
            monkeypatch.setattr(fetcher, "ConsumerRecord", make_none)
            rest = (await subscription.receive(max_records=100)).records
            assert values([*first, *rest]) == values(sent)
            assert [record.offset for record in rest] == list(range(10, 100))
            assert {(record.key, record.headers) for record in rest} == {(sent[0].key, sent[0].headers)}


def test_a_client_without_those_names_is_left_alone():
    class Other:
        _fetcher = type("Fetcher", (), {"_records": {"a": object()}})()

    for other in (object(), Other()):
        hand_over(other)  # type: ignore[arg-type]
    assert received([]) == []


def fetched(*headers: tuple[str, bytes | None]) -> Any:
    """A record as aiokafka gives it; its headers are objects of its own."""
    own = [(name.encode().decode(), value and bytes(bytearray(value))) for name, value in headers]
    return SimpleNamespace(topic="t", partition=0, offset=7, key=b"k", value=b"v", headers=own, timestamp=1500)


def test_records_with_the_same_headers_hold_the_same_tuple():
    one, other, unlike, bare = received(
        [[fetched(("a", b"1"), ("b", b"2")), fetched(("a", b"1"), ("b", b"2")), fetched(("a", b"1")), fetched()]]
    )
    assert one.headers == (("a", b"1"), ("b", b"2"))
    assert one.headers is other.headers
    assert (unlike.headers, bare.headers) == ((("a", b"1"),), ())


def test_a_header_without_a_value_comes_as_an_empty_one_each_time():
    first, again, empty = received([[fetched(("a", None)), fetched(("a", None)), fetched(("a", b""))]])
    assert first.headers == again.headers == empty.headers == (("a", b""),)


def test_of_headers_that_never_repeat_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(read, "_KEPT_HEADERS", 3)
    monkeypatch.setattr(read, "_kept_headers", {})
    unique = [(("n", b"%d" % number),) for number in range(10)]
    found = received([[fetched(*headers) for headers in unique]])
    assert [record.headers for record in found] == unique
    assert len(read._kept_headers) <= 3
