"""Locks of a spool, and forks."""

import os

from tailrace.spool.lock import Lock


def forked_child():
    """A child that has begun, and lives until the returned descriptor is closed."""
    reader, writer = os.pipe()
    begun, begins = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.write(begins, b"!")
        os.read(reader, 1)
        os._exit(0)
    assert os.read(begun, 1) == b"!"
    for fd in (reader, begun, begins):
        os.close(fd)
    return child, writer


def test_a_child_does_not_hold_on_to_what_its_parent_let_go(tmp_path):
    mine, others = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert mine.acquire()
    child, lifeline = forked_child()
    try:
        assert not others.acquire()
        mine.release()
        assert others.acquire()
    finally:
        os.close(lifeline)
        assert os.waitpid(child, 0)[1] == 0
        others.release()


def test_a_lock_that_is_to_outlive_its_process_is_held_by_its_child(tmp_path):
    mine, others = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert mine.acquire()
    mine.outlive()
    child, lifeline = forked_child()
    mine.release()
    os.close(lifeline)
    assert os.waitpid(child, 0)[1] == 0
    assert not others.acquire()  # this process has the copy, too
