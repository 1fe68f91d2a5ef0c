"""A spool whose directory, or a file in it, is deleted while its producer lives."""

import os
import subprocess

import pytest

from tailrace.config import SpoolSettings
from tailrace.spool.append import Spool
from tailrace.spool.directory import SpoolDirectory, inspect
from tailrace.spool.frame import NO_SPAN, pack
from tailrace.spool.runs import open_runs
from tests.spool.numbered import KEY, TOPIC, append, read_all


@pytest.fixture
def root(tmp_path):
    return tmp_path / "spool"


def test_a_spool_that_was_deleted_is_begun_again_and_keeps_what_its_segment_held(root):
    spool = Spool(root, "p1", SpoolSettings(), "internal")
    spool.run_opened("r1", "w")
    append(spool, range(10))
    subprocess.run(["rm", "-rf", str(root)], check=True)
    append(spool, range(10, 20))
    spool._renewed = 0.0
    assert "was deleted" in spool.renew()
    assert spool.renew() == ""
    append(spool, range(20, 30))
    assert read_all(SpoolDirectory(root / "p1")) == (list(range(30)), 0)
    assert open_runs(spool.directory) == {"r1": "w"}
    assert inspect(root)[0].alive
    spool.release()


def test_what_a_thread_appends_while_a_spool_is_begun_again_is_kept(root, monkeypatch):
    spool = Spool(root, "p1", SpoolSettings(), "internal")
    append(spool, range(5))
    subprocess.run(["rm", "-rf", str(root)], check=True)
    swap = spool._swap
    monkeypatch.setattr(spool, "_swap", lambda made: (append(spool, [5]), swap(made)))
    spool._renewed = 0.0
    spool.renew()
    monkeypatch.undo()
    append(spool, [6])
    assert sorted(read_all(spool.directory)[0]) == list(range(7))
    spool.release()


def append_aside(spool, number):
    """As a signal handler's call in a thread that changes segments."""
    spool._turning = True
    spool._write_to_next(pack(number, TOPIC, KEY, NO_SPAN, b"%d" % number))
    spool._turning = False


@pytest.mark.parametrize("name", ["aside", "spare", "about.json", "owner.lock", "segment-00000001.frames"])
def test_a_file_that_is_deleted_under_a_living_producer_costs_no_event(root, name):
    spool = Spool(root, "p1", SpoolSettings(segment_bytes=4096), "internal")
    append(spool, range(40))
    spool.prepare()
    append_aside(spool, 1000)
    (spool.directory.path / name).unlink()
    append_aside(spool, 1001)
    spool._renewed = 0.0
    spool.renew()
    append(spool, range(40, 200))
    append_aside(spool, 1002)
    assert sorted(read_all(spool.directory)[0]) == [*range(200), 1000, 1001, 1002]
    assert spool.directory.about().process == os.getpid()
    assert inspect(root)[0].alive
    spool.release()


def test_a_lost_owner_lock_is_taken_again_in_place(root):
    spool = Spool(root, "p1", SpoolSettings(), "internal")
    append(spool, range(5))
    spool.directory.owner_lock.unlink()
    spool._renewed = 0.0
    assert spool.renew() == f"the lock {spool.directory.owner_lock} was deleted or replaced; it was taken again"
    append(spool, range(5, 8))
    assert inspect(root)[0].alive
    assert read_all(spool.directory) == (list(range(8)), 0)
    spool.release()
