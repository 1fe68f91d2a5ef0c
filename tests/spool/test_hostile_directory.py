"""What others put into a spool, or damage in it: nothing waits, nothing foreign is read, written or deleted."""

import os
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import anyio
import pytest

from tailrace.bus import Record
from tailrace.config import SpoolSettings, load
from tailrace.errors import BusError
from tailrace.publish import ship
from tailrace.spool import About
from tailrace.spool.append import Spool
from tailrace.spool.cursor import read_cursor, write_cursor
from tailrace.spool.directory import SpoolDirectory, all_in, inspect
from tailrace.spool.frame import MAGIC, NO_SPAN, pack
from tailrace.spool.lock import Lock
from tests.spool.numbered import KEY, TOPIC, append, read_all

pytestmark = pytest.mark.anyio

NAMES = ["segment-00000001.frames", "aside", "spare", "runs", "cursor", "about.json", "closed"]


class NotText(str):
    """Encodes as no UTF-8 does."""

    __slots__ = ()

    def encode(self, *_):
        return b"\xff\xfe"


class KeepingBus:
    """Remembers what it was given."""

    def __init__(self, on_publish=lambda: None):
        self.records: list[Record] = []
        self.on_publish = on_publish

    async def publish(self, records):
        self.on_publish()
        await anyio.lowlevel.checkpoint()
        self.records += records

    async def topics(self, _prefix):
        return []

    async def create_topics(self, names):
        pass

    @property
    def values(self):
        return [int(record.value) for record in self.records if record.value.isdigit()]


@pytest.fixture
def root(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def config(root):
    return load({"spool": {"directory": str(root)}, "home": str(root.parent)})


def orphan(root, numbers, producer="p1", **settings):
    """The spool of a producer that died with these frames on it."""
    spool = Spool(root, producer, SpoolSettings(**settings), "internal")
    append(spool, numbers)
    spool.release()
    return spool.directory


async def swept(config, bus=None):
    bus = bus or KeepingBus()
    with anyio.fail_after(30):
        return await ship(config, bus), bus


async def test_a_torn_last_frame_is_counted_and_the_others_are_shipped(root, config):
    directory = orphan(root, range(10))
    segment = directory.segment(1)
    filled = segment.read_bytes().rstrip(b"\0")
    segment.write_bytes(filled + pack(10, TOPIC, KEY, NO_SPAN, b"torn")[:-3])
    report, bus = await swept(config)
    assert bus.values == list(range(10))
    assert report.damaged_bytes > 0
    assert list(all_in(root)) == []


async def test_a_segment_cut_off_by_somebody_can_still_be_read(root, config):
    directory = orphan(root, range(100))
    os.truncate(directory.segment(1), 1000)
    report, bus = await swept(config)
    assert bus.values == list(range(len(bus.values)))
    assert 0 < len(bus.values) < 100
    assert report.errors == []


def test_a_flipped_bit_costs_the_frame_it_is_in_and_no_other(root):
    directory = orphan(root, range(5))
    segment = directory.segment(1)
    whole = segment.read_bytes().rstrip(b"\0")
    for bit in range(0, 8 * len(whole), 7):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        segment.write_bytes(damaged)
        found, bytes_lost = read_all(directory)
        assert len(found) == 4
        assert bytes_lost > 0
        assert set(found) < set(range(5))


async def test_a_spool_of_a_newer_version_is_left_alone_and_named(root, config):
    by_frames, by_about = orphan(root, [1], "p1"), orphan(root, [2], "p2")
    segment = by_frames.segment(1)
    segment.write_bytes(segment.read_bytes().replace(MAGIC, b"TRF\x03"))
    by_about.write_about(About("p2", 1, "h", "internal", "2030-01-01T00:00:00Z", version=3))
    orphan(root, [3], "p3")
    before = {path: path.read_bytes() for path in root.glob("p[12]/*")}
    report, bus = await swept(config)
    assert bus.values == [3]
    assert report.left == 2
    assert all("newer tailrace" in error for error in report.errors)
    assert {path: path.read_bytes() for path in root.glob("p[12]/*")} == before


async def test_what_is_not_a_producers_is_neither_shipped_nor_deleted(root, config):
    directory = orphan(root, [1])
    (root / "notes.txt").write_text("mine")
    (root / "folder").mkdir()
    (root / "folder" / "segment-00000001.frames").write_bytes(pack(9, TOPIC, KEY, NO_SPAN, b"9"))
    (directory.path / "notes.txt").write_text("mine")
    (directory.path / "segment-00000002.frames").mkdir()
    report, bus = await swept(config)
    assert (bus.values, report.errors) == ([1], [])
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == [
        "folder",
        "folder/segment-00000001.frames",
        "notes.txt",
        "p1",
        "p1/notes.txt",
        "p1/segment-00000002.frames",
    ]
    assert list(all_in(root)) == []  # so the next sweep does not come back to it


async def test_a_link_in_the_place_of_a_producers_directory_is_not_followed(root, config, tmp_path):
    elsewhere = orphan(tmp_path / "elsewhere", [1])
    root.mkdir()
    (root / "p1").symlink_to(elsewhere.path)
    before = sorted(elsewhere.path.iterdir())
    report, bus = await swept(config)
    assert (bus.values, report.errors) == ([], [])
    assert inspect(root) == []
    assert sorted(elsewhere.path.iterdir()) == before


@pytest.mark.parametrize("name", [*NAMES, "ship.lock", "owner.lock"])
async def test_a_link_in_the_place_of_a_file_is_not_followed(root, config, tmp_path, name):
    directory = orphan(root, [1])
    precious = tmp_path / "precious"
    precious.write_bytes(pack(9, TOPIC, KEY, NO_SPAN, b"9"))
    before = precious.read_bytes()
    (directory.path / name).unlink(missing_ok=True)
    (directory.path / name).symlink_to(precious)
    inspect(root)
    _, bus = await swept(config)
    assert 9 not in bus.values
    assert precious.read_bytes() == before


@pytest.mark.parametrize("name", [*NAMES, "ship.lock", "owner.lock"])
async def test_a_fifo_in_the_place_of_a_file_makes_nobody_wait(root, name):
    directory = orphan(root, [1])
    (directory.path / name).unlink(missing_ok=True)
    os.mkfifo(directory.path / name)
    code = (
        "import sys, anyio\n"
        "from tailrace.config import load\n"
        "from tailrace.publish import ship\n"
        "from tailrace.registry import open_bus\n"
        "from tailrace.spool.directory import inspect\n"
        "from pathlib import Path\n"
        "config = load({'bus': 'memory:m', 'spool': {'directory': sys.argv[1]}})\n"
        "inspect(Path(sys.argv[1]))\n"
        "anyio.run(ship, config, open_bus(config))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, root], timeout=20, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


async def test_refused_records_are_not_written_through_a_link(root, config, tmp_path):
    directory = orphan(root, [1])
    (tmp_path / "elsewhere").mkdir()
    (root / "rejected").symlink_to(tmp_path / "elsewhere")

    def refuse():
        raise BusError("never", retryable=False)

    report, _ = await swept(config, KeepingBus(refuse))
    assert report.left == 1
    assert "is a link" in report.errors[0]
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert read_all(directory) == ([1], 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
async def test_another_users_spool_is_left_alone(root, config):
    directory = orphan(root, [1])
    for path in (directory.path, *directory.path.iterdir()):
        os.chown(path, 65534, 65534)
    report, bus = await swept(config)
    assert (bus.values, report.left, report.errors) == ([], 0, [])
    assert directory.segment(1).exists()


def test_a_cursor_that_makes_no_sense_only_repeats(root):
    directory = orphan(root, range(3))
    for content in (b"", b"1 2", b"-1 5 -6\n", b"1 70 0\n", b"\xff\xfe", b"1 " + b"9" * 5000):
        directory.cursor.write_bytes(content)
        assert read_cursor(directory) == (0, 0)
        assert read_all(directory) == ([0, 1, 2], 0)
    write_cursor(directory, 1, 70)
    assert read_cursor(directory) == (1, 70)


async def test_a_frame_made_to_break_its_reader_does_not_hold_up_the_others(root, config):
    bad = orphan(root, [1], "p1")
    bad.segment(1).write_bytes(pack(1, NotText("zz"), KEY, NO_SPAN, b"1") + pack(2, TOPIC, KEY, NO_SPAN, b"2"))
    orphan(root, [3], "p2")
    report, bus = await swept(config)
    assert sorted(bus.values) == [2, 3]
    assert report.damaged_bytes > 0


@pytest.mark.parametrize("opened_before", [0, 1, 2])
async def test_a_spool_that_cannot_be_read_now_is_kept(root, config, monkeypatch, opened_before):
    """As when no descriptor is left: to take that for an empty spool would delete it."""
    directory = orphan(root, range(5))
    real, opened = os.open, iter(range(100))

    def exhausted(path, *arguments, **options):
        if "segment-" in str(path) and next(opened) >= opened_before:
            raise OSError(24, "Too many open files")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", exhausted)
    report, _ = await swept(config)
    assert (report.left, report.spools) == (1, 0)
    monkeypatch.undo()
    assert read_all(directory) == (list(range(5)), 0)


def test_a_lock_on_a_file_that_was_deleted_meanwhile_is_no_lock(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    first, second = Lock(path), Lock(path)
    real = os.open

    def late(*arguments, **options):
        fd = real(*arguments, **options)
        path.unlink()  # the one who had it is done, and deletes it with all the rest
        return fd

    monkeypatch.setattr(os, "open", late)
    assert not first.acquire()
    monkeypatch.undo()
    assert second.acquire()
    second.release()


async def test_two_sweepers_at_once_ship_each_orphan_once(root, config):
    for number in range(40):
        orphan(root, [number], f"p{number:02d}", segment_bytes=4096)
    buses = [KeepingBus(), KeepingBus()]
    reports = []

    def work(bus):
        reports.append(anyio.run(ship, config, bus))

    threads = [threading.Thread(target=work, args=(bus,)) for bus in buses]
    for thread in threads:
        thread.start()
    for thread in threads:
        await anyio.to_thread.run_sync(thread.join)
    assert sorted(buses[0].values + buses[1].values) == list(range(40))
    assert [report.errors for report in reports] == [[], []]
    assert list(root.iterdir()) == []


async def test_a_sweep_that_ends_half_way_is_completed_by_the_next(root, config):
    directory = orphan(root, range(120_000), segment_bytes=65536)
    bus = KeepingBus()
    with anyio.CancelScope() as scope:
        bus.on_publish = lambda: scope.cancel() if len(bus.records) > 2000 else None
        await ship(config, bus)
    assert len(bus.records) > 2000
    assert directory.path.exists()
    await swept(config, bus)
    assert set(bus.values) == set(range(120_000))
    assert list(root.iterdir()) == []


async def test_many_orphans_are_swept_in_bounded_memory(root, config):
    first = orphan(root, range(3), "p0000", segment_bytes=4096)
    for number in range(1, 1000):
        copy = SpoolDirectory(root / f"p{number:04d}")
        copy.path.mkdir()
        copy.segment(1).write_bytes(first.segment(1).read_bytes())
        copy.owner_lock.touch()
    shipped = [0]

    class Counting(KeepingBus):
        async def publish(self, records):
            shipped[0] += len(records)

    tracemalloc.start()
    try:
        report, _ = await swept(config, Counting())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (shipped[0], report.spools, report.errors) == (3000, 1000, [])
    assert peak < 8 << 20
    assert list(root.iterdir()) == []


def test_a_spool_that_cannot_be_begun_leaves_neither_files_nor_descriptors(root, monkeypatch):
    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(os, "sendfile", lambda *_: 0)
    monkeypatch.setattr(os, "pwritev", lambda *_: 0)
    for _ in range(3):
        with pytest.raises(OSError, match="the disk took 0"):
            Spool(root, "p1", SpoolSettings(), "internal")
    assert list(root.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    monkeypatch.undo()
    Spool(root, "p1", SpoolSettings(), "internal").release()
