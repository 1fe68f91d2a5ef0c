"""The keeper syncs what is nowhere else, once a second, and readies the next segment."""

import pytest

from tailrace.config import SpoolSettings
from tailrace.spool.append import Spool
from tailrace.spool.frame import NO_SPAN, pack
from tailrace.spool.keeper import Keeper


class CountingSpool(Spool):
    syncs = 0

    def sync(self):
        self.syncs += 1
        super().sync()


@pytest.fixture
def spool(tmp_path):
    spool = CountingSpool(tmp_path / "spool", "p1", SpoolSettings(), "internal")
    yield spool
    spool.release()


def append(spool):
    spool.append(pack(0, "t", b"k", NO_SPAN, b"v"))


def seconds_pass(keeper, count=1):
    for _ in range(count):
        keeper._sync()


def test_what_was_appended_a_second_ago_is_synced_once(spool):
    keeper = Keeper(spool, lambda line: None)
    seconds_pass(keeper)
    append(spool)
    seconds_pass(keeper)
    assert spool.syncs == 0
    seconds_pass(keeper, 3)
    assert spool.syncs == 1
    append(spool)
    seconds_pass(keeper, 3)
    assert spool.syncs == 2


def test_what_the_bus_has_is_not_synced(spool):
    shipped = (0, 0)
    keeper = Keeper(spool, lambda line: None, lambda: shipped)
    append(spool)
    shipped = spool.written()
    seconds_pass(keeper, 3)
    assert spool.syncs == 0
    append(spool)
    seconds_pass(keeper, 2)
    assert spool.syncs == 1


def test_a_disk_that_does_not_sync_is_asked_again(spool, monkeypatch):
    keeper = Keeper(spool, lambda line: None)
    append(spool)
    asked = []

    def refuse():
        asked.append(1)
        raise OSError("no")

    monkeypatch.setattr(spool, "sync", refuse)
    seconds_pass(keeper, 3)
    assert len(asked) == 2


def test_a_segment_is_ready_after_another_was_taken(spool):
    keeper = Keeper(spool, lambda line: None)
    keeper.start()
    try:
        while spool.written()[0] == 1:
            append(spool)
        while not spool.directory.spare.exists():
            assert keeper._thread.is_alive()
    finally:
        keeper.stop()
