"""Reading a spool while its producer, in another process, appends to it and takes its segments away."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.config import SpoolSettings
from tailrace.spool.append import Spool
from tailrace.spool.directory import SpoolDirectory
from tailrace.spool.frame import pack
from tailrace.spool.tail import Tail

TOPIC, KEY, SPAN = "tailrace.events.w", b"k" * 32, bytes(8)
ROOM = bytes(300)


def frame(number, size=20):
    return pack(number, TOPIC, KEY, SPAN, b"%d %b" % (number, b"x" * size))


@given(st.lists(st.integers(0, 200), min_size=1, max_size=8), st.integers(1, 600), st.data())
def test_a_frame_whose_bytes_come_in_any_order_is_read_when_it_is_whole_and_not_before(sizes, window, data):
    """The bytes of one frame may be seen in any order; the next is begun when it is whole."""
    frames = [frame(number, size) for number, size in enumerate(sizes)]
    begun = data.draw(st.integers(0, len(frames) - 1))
    there = data.draw(st.lists(st.booleans(), min_size=len(frames[begun]), max_size=len(frames[begun])))
    partly = bytes(byte if is_there else 0 for byte, is_there in zip(frames[begun], there, strict=True))
    with TemporaryDirectory() as root:
        directory = SpoolDirectory(Path(root))
        directory.segment(1).write_bytes(b"".join(frames[:begun]) + partly + ROOM)
        seen = read_all(Tail(directory, guest=True, window=window))
    assert seen == list(range(begun + (partly == frames[begun])))


@pytest.fixture
def spool(tmp_path):
    spool = Spool(tmp_path / "spool", "p1", SpoolSettings(segment_bytes=4096), "companion", "c0ffee00")
    yield spool
    spool.release()


def read_all(tail, *, final=False):
    windows = []
    while window := tail.read(final=final):
        windows.append(window)
        tail.ack(window, len(window.frames))
    tail.settle(final=final)
    return [each.seq for window in windows for each in window.frames]


def test_a_live_producers_segments_stay_until_it_takes_them_away(spool):
    tail = Tail(spool.directory, guest=True)
    for number in range(100):
        spool.append(frame(number))
    before = spool.directory.segments()
    assert read_all(tail) == list(range(100))
    assert tail.position() == spool.written()
    assert spool.directory.segments() == before
    assert len(before) > 2
    for number in before[:-1]:
        spool.directory.segment(number).unlink()
    spool.append(frame(100))
    assert read_all(tail) == [100]
    assert tail.position() == spool.written()


def test_a_segment_that_is_read_and_closed_is_looked_at_again_ever_more_rarely_and_at_once_in_the_end(
    spool, monkeypatch
):
    now = 1_000.0
    monkeypatch.setattr("tailrace.spool.tail.time.monotonic", lambda: now)
    tail = Tail(spool.directory, guest=True)
    while spool.written()[0] < 3:
        spool.append(frame(0, size=500))
    looked = []
    monkeypatch.setattr(
        tail,
        "_read_segment",
        lambda segment, read=tail._read_segment, **how: looked.append(segment) or read(segment, **how),
    )
    read_all(tail)
    looked.clear()
    for _ in range(2_000):
        now += 0.001
        assert tail.read(final=False) is None
    assert 5 <= sum(segment.number == 1 for segment in looked) <= 15  # doubling from 1 ms to 2 s
    looked.clear()
    assert tail.read(final=True) is None
    assert [segment.number for segment in looked].count(1) == 1


def test_what_comes_late_to_an_older_segment_takes_the_position_back_until_it_is_shipped(spool, monkeypatch):
    """A thread may have been interrupted between taking the segment and writing to it."""
    now = 1_000.0
    monkeypatch.setattr("tailrace.spool.tail.time.monotonic", lambda: now)
    late = spool.write
    tail = Tail(spool.directory, guest=True)
    while spool.written()[0] == 1:
        spool.append(frame(0, size=500))
    read_all(tail)
    assert tail.position() == spool.written()
    late(frame(7))
    assert tail.position()[0] == 1
    now += 10.0  # it is looked at again ever more rarely
    assert read_all(tail) == [7]
    assert tail.position() == spool.written()


def test_a_dead_producers_segments_are_deleted_as_any_orphans(spool):
    for number in range(100):
        spool.append(frame(number))
    tail = Tail(spool.directory, guest=True)
    assert read_all(tail, final=True) == list(range(100))
    assert spool.directory.segments() == []


def test_a_directory_that_is_another_producers_by_now_is_neither_read_nor_changed(spool, tmp_path):
    for number in range(5):
        spool.append(frame(number))
    tail = Tail(spool.directory, guest=True)
    window = tail.read(final=False)
    spool.directory.remove()
    spool.release()
    another = Spool(tmp_path / "spool", "p1", SpoolSettings(segment_bytes=4096), "companion", "c0ffee00")
    for number in range(100):
        another.append(frame(number))
    segments = another.directory.segments()
    assert len(segments) > 2
    tail.let_go()
    assert not tail.is_empty()
    tail.ack(window, 5)
    assert tail.is_empty()
    assert read_all(tail, final=True) == []
    tail.flush_cursor()
    assert another.directory.segments() == segments
    assert read_all(Tail(another.directory, guest=True)) == list(range(100))
    another.release()
