"""Segments made ahead: used again rather than made anew, a few at most, and given back when nothing needs them."""

import pytest

from tailrace.config import SpoolSettings
from tailrace.spool import segment
from tailrace.spool.append import Spool
from tailrace.spool.directory import KEPT
from tailrace.spool.frame import NO_SPAN, pack
from tailrace.spool.tail import Tail

SEGMENT_BYTES = 4096


@pytest.fixture
def now(monkeypatch):
    """Seconds on the spool's clock; change the item."""
    clock = [1_000.0]
    monkeypatch.setattr("tailrace.spool.append.time.monotonic", lambda: clock[0])
    return clock


@pytest.fixture
def spool(tmp_path, now):
    spool = Spool(tmp_path / "spool", "p1", SpoolSettings(segment_bytes=SEGMENT_BYTES), "companion", "c0ffee00")
    yield spool
    spool.release()


@pytest.fixture
def made(monkeypatch):
    """Sizes of the files that are made."""
    sizes = []
    monkeypatch.setattr(segment, "made", lambda path, size, make=segment.made: sizes.append(size) or make(path, size))
    return sizes


def append(spool, seq=0):
    spool.append(pack(seq, "t", b"k", NO_SPAN, bytes([97 + seq % 26]) * 500))


def turn(spool):
    """Fill the segment in use, and go on in the next one."""
    number = spool.written()[0]
    while spool.written()[0] == number:
        append(spool)
    return number


def inode(spool, number):
    return spool.directory.segment(number).stat().st_ino


def test_an_acknowledged_segment_is_used_again_with_nothing_left_in_it(spool, now, made):
    first = inode(spool, 1)
    now[0] += 60.0
    assert turn(spool) == 1
    spool._was_late = False
    assert spool.is_let_go(1)
    assert spool.reuse(1)
    assert spool.directory.segments() == [2]
    spool.prepare()
    made.clear()
    assert turn(spool) == 2
    assert inode(spool, 3) == first
    assert made == []
    assert spool.directory.segment(3).read_bytes()[spool.written()[1] :].strip(b"\0") == b""
    tail = Tail(spool.directory)
    seen = 0
    while window := tail.read(final=True):
        seen += window.count
    assert tail.damaged_bytes == 0
    assert seen > SEGMENT_BYTES // 600


def test_no_more_are_kept_than_that(spool):
    for _ in range(KEPT + 2):
        turn(spool)
    assert [spool.reuse(number) for number in range(1, KEPT + 2)] == [True] * KEPT + [False]
    assert spool.directory.segments() == [KEPT + 1, KEPT + 2, KEPT + 3]


def test_one_that_is_ready_does_not_keep_others_from_being_kept(spool):
    turn(spool)
    turn(spool)
    spool.prepare()
    assert spool.directory.spare.exists()
    assert spool.reuse(1)


def test_segments_of_another_size_are_not_kept(tmp_path):
    spool = Spool(tmp_path / "spool", "p2", SpoolSettings(segment_bytes=1 << 20), "companion", "c0ffee00")
    turn(spool)  # the first ones are smaller
    assert not spool.reuse(1)
    spool.release()


def test_a_segment_that_was_made_larger_for_one_event_is_not_kept(spool):
    spool.append(pack(0, "t", b"k", NO_SPAN, b"v" * (2 * SEGMENT_BYTES)))
    assert spool.written()[0] == 2
    turn(spool)
    assert not spool.reuse(2)
    assert spool.reuse(1)


def test_where_there_is_time_the_next_one_is_made_only_when_this_one_is_half_full(spool, now, made):
    turn(spool)
    now[0] += 60.0
    turn(spool)
    made.clear()
    spool._was_late = False  # `turn` had no spare
    spool.prepare()
    assert made == []
    while spool.written()[1] < SEGMENT_BYTES / 2:
        append(spool)
    spool.prepare()
    assert made == [SEGMENT_BYTES]


def test_where_segments_fill_quickly_the_next_one_is_made_at_once(spool, now, made):
    turn(spool)
    now[0] += 0.1
    turn(spool)
    made.clear()
    spool._was_late = False
    spool.prepare()
    assert made == [SEGMENT_BYTES]


def test_what_nothing_needed_for_long_is_given_back(spool, now):
    for _ in range(3):
        turn(spool)
    assert spool.reuse(1)
    assert spool.reuse(2)
    spool.prepare()  # takes one of them
    now[0] += 9.0
    spool.prepare()
    assert sum(path.exists() for path in spool.directory.kept) == 1
    now[0] += 2.0
    spool.prepare()
    assert not any(path.exists() for path in spool.directory.kept)
    assert spool.directory.spare.exists()


def test_the_budget_holds_for_used_pages_as_well(tmp_path):
    settings = SpoolSettings(segment_bytes=SEGMENT_BYTES, max_bytes=3 * SEGMENT_BYTES)
    spool = Spool(tmp_path / "spool", "p2", settings, "companion", "c0ffee00")
    turn(spool)
    turn(spool)
    assert spool.reuse(1)
    turn(spool)  # by a file made anew: the one that was kept is not ready
    spool.prepare()
    assert not spool.directory.spare.exists()
    spool.release()


def test_a_directory_is_removed_with_what_was_kept_in_it(spool):
    for _ in range(3):
        turn(spool)
    assert spool.reuse(1)
    assert spool.reuse(2)
    spool.directory.remove()
    assert not spool.directory.path.exists()


def test_after_the_directory_was_deleted_nothing_of_it_is_used(spool, now):
    for _ in range(3):
        turn(spool)
    assert spool.reuse(1)
    spool.directory.remove()
    now[0] += 1.0
    assert "was deleted" in spool.renew()
    spool.prepare()
    assert spool.directory.spare.exists()
    turn(spool)
    assert not spool.directory.spare.exists()
