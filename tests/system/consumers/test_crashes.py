"""The short form of the kills of `make soak-consumers`."""

from collections import Counter

import pytest

from tests.system.consumers.crashes import kill_everywhere
from tests.system.consumers.points import POINTS, STAGES

pytestmark = pytest.mark.timeout(600)


def test_each_stage_killed_twice_at_each_point_loses_and_doubles_nothing(kafka_url, tmp_path):
    killed = kill_everywhere(kafka_url, tmp_path, seed=5, times=2)
    print(killed)
    assert killed.ok, killed
    assert killed.kills == Counter({(stage, point): 2 for stage in STAGES for point in POINTS})
