"""How records come out of aiokafka."""

from __future__ import annotations

from typing import NoReturn

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
