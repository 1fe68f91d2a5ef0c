"""How records come out of aiokafka."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from aiokafka.consumer import fetcher

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
    """A record as aiokafka gives it."""
    return SimpleNamespace(topic="t", partition=0, offset=7, key=b"k", value=b"v", headers=[*headers], timestamp=1500)


def test_a_header_without_a_value_comes_as_an_empty_one():
    given = [(("a", b"1"), ("b", None)), (("a", b""),), ()]
    found = received([[fetched(*headers)] for headers in given])
    assert [record.headers for record in found] == [(("a", b"1"), ("b", b"")), (("a", b""),), ()]
