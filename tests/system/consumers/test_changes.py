"""The short form of the changes of `make soak-consumers`."""

import pytest

from tests.system.consumers.changes import change_members

pytestmark = pytest.mark.timeout(240)


def test_members_that_join_leave_and_are_killed_leave_no_event_unread(kafka_url, tmp_path):
    changed = change_members(kafka_url, tmp_path, seed=8, changes=8, longest=0.6)
    print(changed)
    assert changed.ok, changed
    assert changed.changes.keys() == {"joined", "left", "killed"}
