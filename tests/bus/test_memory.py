from __future__ import annotations

import pytest

from tests.conformance.bus import BusConformance, Features


class TestMemoryBus(BusConformance):
    features = Features(default_partitions=1, splits_partitions=False, survives_restart=False)

    @pytest.fixture
    def url(self, prefix: str) -> str:
        return f"memory:{prefix}"
