"""Appending to a spool and reading it back: order, acknowledgement, deletion, budget, locks."""

import errno
import itertools
import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

from tailrace.config import SpoolSettings
from tailrace.errors import SpoolError
from tailrace.spool import files
from tailrace.spool.append import Spool, SpoolFullError
from tailrace.spool.cursor import read_cursor
from tailrace.spool.directory import SpoolDirectory, all_in, inspect
from tailrace.spool.frame import NO_SPAN, pack
from tailrace.spool.lock import Lock
from tailrace.spool.runs import open_runs
from tailrace.spool.tail import Tail

TOPIC = "tailrace.events.w"
KEY = b"k" * 32


@pytest.fixture
def root(tmp_path):
    return tmp_path / "spool"


def spool_in(root, **settings):
    return Spool(root, "p1", SpoolSettings(**settings), "internal")


def append(spool, first, count, size=100):
    for seq in range(first, first + count):
        spool.append(pack(seq, TOPIC, KEY, NO_SPAN, b"v" * size))


def read_all(tail, *, final=True):
    found = []
    while window := tail.read(final=final):
        found.append(window)
    return found


def seqs(windows):
    return [frame.seq for window in windows for frame in window.frames]


def ack(tail, windows):
    for window in windows:
        tail.ack(window, len(window.frames))


def test_what_was_appended_is_read_in_order_across_segments(root):
    spool = spool_in(root, segment_bytes=4096)
    append(spool, 0, 500)
    assert len(spool.directory.segments()) > 5
    assert seqs(read_all(Tail(spool.directory))) == list(range(500))
    spool.release()


def test_a_segment_that_was_read_to_its_end_is_not_opened_again(root, monkeypatch):
    spool = spool_in(root, segment_bytes=4096)
    append(spool, 0, 500)
    segments = len(spool.directory.segments())
    opened = []
    monkeypatch.setattr(
        files, "open_to_read", lambda path, real=files.open_to_read: opened.append(path.name) or real(path)
    )
    tail = Tail(spool.directory)
    assert seqs(read_all(tail)) == list(range(500))
    # What it holds, whether there is more, how far it is filled, and what is behind that.
    assert all(opened.count(name) <= 5 for name in opened)
    assert len(set(opened)) >= segments


def test_a_writer_s_own_segment_is_read_without_a_file(root, monkeypatch):
    spool = spool_in(root)
    append(spool, 0, 50)
    opened = []
    monkeypatch.setattr(files, "open_to_read", lambda path, real=files.open_to_read: opened.append(path) or real(path))
    assert seqs(read_all(Tail(spool.directory, spool), final=False)) == list(range(50))
    assert spool.directory.segment(1) not in opened


def test_a_reader_beside_the_writer_sees_each_frame_once(root):
    spool = spool_in(root, segment_bytes=4096)
    tail = Tail(spool.directory)
    seen = []
    for first in range(0, 300, 50):
        append(spool, first, 50)
        seen += seqs(read_all(tail, final=False))
    assert seen == list(range(300))
    spool.release()


def test_acknowledged_segments_go_and_the_rest_stays(root):
    spool = spool_in(root, segment_bytes=4096)
    append(spool, 0, 200)
    tail = Tail(spool.directory)
    windows = read_all(tail)
    before = len(spool.directory.segments())
    ack(tail, windows[:-3])
    tail.settle(final=True)
    left = spool.directory.segments()
    assert 0 < len(left) < before
    assert seqs(read_all(Tail(spool.directory))) == seqs(windows[-3:])
    ack(tail, windows[-3:])
    tail.settle(final=True)
    assert spool.directory.segments() == []
    assert tail.is_empty()
    assert tail.acked == 200
    spool.release()


def test_acknowledgements_out_of_order_move_the_cursor_only_over_whole_prefixes(root):
    spool = spool_in(root)
    tail, windows = Tail(spool.directory), []
    for first in range(0, 9, 3):
        append(spool, first, 3)
        windows += read_all(tail, final=False)
    ends = [window.end for window in windows]
    assert len(ends) == 3
    tail.ack(windows[1], 3)
    tail.ack(windows[0], 2)
    assert tail.position() == (1, 0)
    tail.ack(windows[0], 1)
    assert tail.position() == (1, ends[1])
    tail.ack(windows[2], 3)
    assert tail.position() == (1, ends[2])
    tail.flush_cursor()
    assert read_cursor(spool.directory) == (1, ends[2])
    assert read_all(Tail(spool.directory)) == []
    spool.release()


def test_a_frame_larger_than_the_read_window_is_read_whole(root):
    spool = spool_in(root)
    spool.append(pack(0, TOPIC, KEY, NO_SPAN, b"v" * 3_000_000))
    (window,) = read_all(Tail(spool.directory), final=False)
    assert [len(frame.value) for frame in window.frames] == [3_000_000]
    spool.release()


def test_beyond_the_budget_nothing_is_taken_until_there_is_room(root):
    spool = spool_in(root, segment_bytes=4096, max_bytes=20_000)
    with pytest.raises(SpoolFullError):
        append(spool, 0, 1000)
    assert spool.bytes_used() <= 20_000
    tail = Tail(spool.directory)
    ack(tail, read_all(tail))
    tail.settle(final=True)
    spool._measured = 0.0  # the next look at the disk is due
    append(spool, 1000, 1)
    spool.release()


def test_threads_append_whole_frames_and_lose_none(root):
    spool = spool_in(root, segment_bytes=1 << 16)
    threads = [threading.Thread(target=append, args=(spool, n * 1000, 1000)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tail = Tail(spool.directory)
    seen = seqs(read_all(tail))
    assert sorted(seen) == list(range(8000))
    assert tail.damaged_bytes == 0
    for n in range(8):
        assert [seq for seq in seen if n * 1000 <= seq < n * 1000 + 1000] == list(range(n * 1000, n * 1000 + 1000))
    spool.release()


def test_only_the_user_can_read_a_spool(root):
    spool = spool_in(root)
    append(spool, 0, 1)
    assert stat.S_IMODE(spool.directory.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in spool.directory.path.iterdir()} == {0o600}
    spool.release()


def test_a_directory_that_cannot_be_made_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SpoolError, match="file"):
        Spool(tmp_path / "file" / "spool", "p1", SpoolSettings(), "internal")


def test_runs_left_open_are_known_by_their_workflow(root):
    spool = spool_in(root)
    spool.run_opened("r1", "w1")
    spool.run_opened("r2", "w2")
    spool.run_ended("r1")
    with spool.directory.runs.open("ab") as torn:
        torn.write(b'["+","torn')
    spool.run_opened("r3", "w3")
    assert open_runs(spool.directory) == {"r2": "w2", "r3": "w3"}
    spool.release()


def test_room_that_was_not_written_is_neither_a_frame_nor_damage(root):
    spool = spool_in(root)
    append(spool, 0, 3)
    tail = Tail(spool.directory)
    assert seqs(read_all(tail)) == [0, 1, 2]
    assert tail.damaged_bytes == 0
    assert spool.directory.segment(1).stat().st_size > spool.written()[1]
    assert inspect(root)[0].bytes == spool.written()[1]
    spool.release()


def test_a_frame_that_ends_in_a_zero_counts_to_its_end_and_not_at_all_once_it_is_shipped(root):
    spool = spool_in(root)
    append(spool, 0, 1)
    frames = (pack(1, TOPIC, KEY, NO_SPAN, b"%d" % number) for number in itertools.count())
    spool.append(next(frame for frame in frames if frame.endswith(b"\0")))
    (info,) = inspect(root)
    assert (info.records, info.bytes) == (2, spool.written()[1])

    tail = Tail(spool.directory)
    ack(tail, read_all(tail, final=False))
    tail.flush_cursor()
    (info,) = inspect(root)
    assert (info.records, info.bytes, info.oldest_seconds) == (0, 0, None)
    spool.release()


def test_an_append_on_its_way_into_an_older_segment_keeps_it(root):
    spool = spool_in(root, segment_bytes=4096)
    append(spool, 0, 1)
    tail = Tail(spool.directory, spool)
    late = spool.write  # a thread is interrupted between taking this and calling it
    append(spool, 1, 100, size=150)
    ack(tail, read_all(tail, final=False))
    tail.settle(final=False)
    assert spool.directory.segments()[0] == 1
    late(pack(500, TOPIC, KEY, NO_SPAN, b"v"))
    del late
    found = read_all(tail, final=False)
    assert seqs(found) == [500]
    ack(tail, found)
    while tail.read(final=False):
        pass
    tail.settle(final=False)
    assert spool.directory.segments()[0] > 1
    assert tail.damaged_bytes == 0
    spool.release()


def test_the_next_segment_is_made_ahead_and_closes_nothing_before_its_turn(root):
    spool = spool_in(root, segment_bytes=4096)
    append(spool, 0, 20)
    spool.prepare()
    assert spool.directory.spare.exists()
    assert spool.directory.segments() == [1]
    append(spool, 20, 20)
    assert not spool.directory.spare.exists()
    assert spool.directory.segments() == [1, 2]
    assert seqs(read_all(Tail(spool.directory))) == list(range(40))
    spool.release()


def test_appending_readying_and_reusing_at_once_lose_no_frame(root):
    count = 60_000
    spool = spool_in(root, segment_bytes=8192)
    done = threading.Event()

    def ready():
        while not done.is_set():
            spool.prepare()

    seen = []

    def ship():
        tail = Tail(spool.directory, spool)
        while len(seen) < count and not (done.is_set() and tail.is_empty()):
            if window := tail.read(final=False):
                seen.extend(frame.seq for frame in window.frames)
                tail.ack(window, len(window.frames))
            tail.settle(final=False)

    threads = [threading.Thread(target=ready), threading.Thread(target=ship)]
    for thread in threads:
        thread.start()
    try:
        append(spool, 0, count)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert seen == list(range(count))
    spool.release()


def test_a_full_disk_is_an_error_of_the_call_and_no_signal(root, monkeypatch):
    spool = spool_in(root, segment_bytes=4096)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "sendfile", full)
        patched.setattr(os, "pwritev", full)
        with pytest.raises(OSError, match="No space"):
            append(spool, 0, 100)
    kept = seqs(read_all(Tail(spool.directory)))
    assert kept == list(range(len(kept)))
    append(spool, 200, 100)
    assert seqs(read_all(Tail(spool.directory))) == [*kept, *range(200, 300)]
    spool.release()


def test_a_signal_handler_that_logs_between_any_two_instructions_loses_nothing(root):
    spool = spool_in(root, segment_bytes=1 << 20)
    from_handler = []

    def handler(*_):
        from_handler.append(1_000_000 + len(from_handler))
        append(spool, from_handler[-1], 1)

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    try:
        append(spool, 0, 20_000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    tail = Tail(spool.directory)
    seen = seqs(read_all(tail))
    assert sorted(seen) == [*range(20_000), *from_handler]
    assert from_handler
    assert tail.damaged_bytes == 0
    spool.release()


def test_foreign_files_in_the_spool_are_left_alone(root):
    spool = spool_in(root)
    (root / "notes.txt").write_text("mine")
    (spool.directory.path / "segment-x.frames").write_text("mine")
    append(spool, 0, 1)
    assert [directory.producer for directory in all_in(root)] == ["p1"]
    assert len(read_all(Tail(spool.directory))) == 1
    spool.release()


OWNER = """
import sys, pathlib
from tailrace.config import SpoolSettings
from tailrace.spool.append import Spool
from tailrace.spool.frame import pack
spool = Spool(pathlib.Path(sys.argv[1]), "p1", SpoolSettings(), sys.argv[2])
spool.append(pack(0, "t", b"k", bytes(8), b"{}"))
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_killed_owner_frees_its_spool_and_what_it_appended_is_there(root):
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(root), "internal"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with owner:
        assert owner.stdout.readline() == b"ready\n"
        directory = SpoolDirectory(root / "p1")
        (info,) = inspect(root)
        assert (info.alive, info.process, info.producer) == (True, owner.pid, "p1")
        assert info.bytes > 0
        assert not Lock(directory.ship_lock).acquire()
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        assert not inspect(root)[0].alive
        lock = Lock(directory.ship_lock)
        assert lock.acquire()
        assert [frame.value for window in read_all(Tail(directory)) for frame in window.frames] == [b"{}"]
        lock.release()
