from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.bus import BusConformance, Features


class TestSQLiteBus(BusConformance):
    features = Features(default_partitions=1, splits_partitions=False, survives_restart=True)

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'deep' / 'bus.db'}"
