from __future__ import annotations

import pytest

from tests.conformance.bus import BusConformance
from tests.conformance.bus_case import Features


@pytest.mark.kafka
class TestKafkaBus(BusConformance):
    features = Features(default_partitions=6, splits_partitions=True, survives_restart=True, bounds_bytes=False)

    @pytest.fixture
    def url(self, kafka_url: str) -> str:
        return kafka_url
