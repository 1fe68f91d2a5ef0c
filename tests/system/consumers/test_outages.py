"""The short form of the outages of `make soak-consumers`."""

import pytest

from tests.system.consumers.outages import kill_servers

pytestmark = pytest.mark.timeout(300)


def test_a_broker_and_a_search_server_killed_in_turn_cost_nothing(kafka, opensearch, tmp_path):
    outages = kill_servers(kafka, opensearch, tmp_path, seed=1)
    print(outages)
    assert outages.ok, outages
    assert outages.kills == {"kafka": 1, "opensearch": 1}
