from __future__ import annotations

import pytest

from tailrace.config import Config
from tailrace.registry import open_bus
from tests.conformance.bus import BusConformance
from tests.conformance.bus_case import Features, opened, read_to_end, records, values


class TestMemoryBus(BusConformance):
    features = Features(default_partitions=1, splits_partitions=False, survives_restart=False)

    @pytest.fixture
    def url(self, prefix: str) -> str:
        return f"memory:{prefix}"


@pytest.mark.anyio
async def test_a_url_names_one_bus_and_another_url_another(prefix: str):
    async with opened(open_bus(Config(bus=f"memory:{prefix}"))) as first:
        await first.publish(records("t.a", 2))
    async with (
        opened(open_bus(Config(bus=f"memory:{prefix}"))) as same,
        opened(open_bus(Config(bus=f"memory:{prefix}-other"))) as other,
    ):
        async with same.subscribe("t.a") as subscription:
            assert values(await read_to_end(subscription)) == [0, 1]
        assert await other.topics() == []
