"""A producer's spool directory: names, locks, and looking at it from outside."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tailrace.errors import SpoolError
from tailrace.event.ids import time_text
from tailrace.spool import About, SpoolInfo, files
from tailrace.spool.cursor import read_cursor
from tailrace.spool.frame import CHECK_BYTES, MAGIC, VERSION, parse
from tailrace.spool.lock import Lock

_SEGMENT = "segment-"
_SUFFIX = ".frames"
ASIDE = 0
"""Number of the segment for calls that come while their own thread changes segments; the others count from 1."""
KEPT = 2
"""So many acknowledged segments at most wait to be used again."""
REJECTED = "rejected"
"""Directory beside the producers': frames that the bus refused for good, kept for a person to look at."""
_PIECE_BYTES = 256 << 10
_MAKING_SECONDS = 60.0
"""Nobody takes so long to make a directory, but who was killed at it."""
_COUNTED_BYTES = 32 << 20
"""Counting the frames of so many bytes takes some tenths of a second."""
_READ_BYTES = 1 << 20

_HALF_MADE = re.compile(r"\.[0-9a-f]{24}")
_MADE = re.compile(r"[0-9a-f]{24}")
_MADE_FIRST = {"owner.lock", "ship.lock", "about.json"}


class SpoolDirectory:
    """The files of one producer. Holds no locks itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs = path / "runs"
        self.cursor = path / "cursor"
        self.owner_lock = path / "owner.lock"
        self.ship_lock = path / "ship.lock"
        self.closed = path / "closed"
        self.spare = path / "spare"
        self.kept = [path / f"kept-{number}" for number in range(1, KEPT + 1)]
        self.fresh = path / "fresh"
        self.shipped = path / "shipped"
        self._about = path / "about.json"

    @property
    def producer(self) -> str:
        return self.path.name

    @property
    def rejected(self) -> Path:
        return self.path.parent / REJECTED / f"{self.producer}{_SUFFIX}"

    def segment(self, number: int) -> Path:
        return self.path / ("aside" if number == ASIDE else f"{_SEGMENT}{number:08d}{_SUFFIX}")

    def segments(self) -> list[int]:
        """Numbers of the segments there are, in order, without the one aside. Only plain files count as such."""
        try:
            with os.scandir(self.path) as entries:
                names = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        stems = (name[len(_SEGMENT) : -len(_SUFFIX)] for name in names if name.startswith(_SEGMENT))
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def about(self) -> About | None:
        try:
            return msgspec.json.decode(files.read(self._about), type=About)
        except (OSError, msgspec.MsgspecError):
            return None

    def write_about(self, about: About) -> None:
        files.write(self._about, msgspec.json.encode(about) + b"\n")

    def keep_about(self, about: About) -> None:
        """Write it again where it was deleted: without it, no companion knows that the spool is its own."""
        if not files.size(self._about):
            self.write_about(about)

    def is_there(self) -> bool:
        """Whether a producer's directory of this user stands here: not a link to one, nor another user's."""
        try:
            status = self.path.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and self.owner_lock.exists()

    def is_newer(self) -> bool:
        """Whether a later version of tailrace wrote it, whose frames this one cannot read.

        Raises:
            OSError: it cannot be looked at now.
        """
        about = self.about()
        if about is not None and about.version > VERSION:
            return True
        return any(_is_newer(self.segment(number)) for number in (ASIDE, *self.segments()))

    def owner_is_alive(self) -> bool:
        lock = Lock(self.owner_lock)
        if lock.acquire(shared=True):
            lock.release()
            return False
        return self.owner_lock.exists()

    def remove(self) -> None:
        """Delete what a producer makes; what is not from one stays, and so does the directory around it.

        What cannot be deleted now is found again by the next sweep, as long as `owner.lock` is there: it goes last.
        """
        with contextlib.suppress(OSError):
            segments = [self.segment(number) for number in (ASIDE, *self.segments())]
            notes = [self.runs, self.cursor, self.closed, self.spare, *self.kept, self.fresh, self.shipped, self._about]
            for path in (*segments, *notes, self.ship_lock, self.owner_lock):
                with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                    path.unlink()
            self.path.rmdir()


def create(root: Path, producer: str, publish: str, companion: str = "") -> tuple[SpoolDirectory, Lock, Lock]:
    """A new directory, with its owner lock held, and its ship lock too if `publish` is `internal`.

    It appears under its name only when the locks are held, so that no sweeper takes it for an orphan.

    Raises:
        SpoolError: it cannot be made; names the path and the reason.
    """
    owner = ship = None
    try:
        root.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        root.mkdir(exist_ok=True, mode=0o700)
        unnamed, named = SpoolDirectory(root / f".{producer}"), SpoolDirectory(root / producer)
        unnamed.remove()  # what is left of an earlier attempt
        unnamed.path.mkdir(mode=0o700)
        owner, ship = Lock(unnamed.owner_lock), Lock(unnamed.ship_lock)
        _lock(owner, *([ship] if publish == "internal" else []))
        unnamed.write_about(about_me(producer, publish, companion))
        unnamed.path.rename(named.path)
        owner.path, ship.path = named.owner_lock, named.ship_lock
    except OSError as error:
        if owner is not None and ship is not None:
            unnamed.remove()
            owner.release()
            ship.release()
        raise SpoolError(f"the spool directory {root} cannot be used: {error}; set spool.directory") from error
    return named, owner, ship


def about_me(producer: str, publish: str, companion: str) -> About:
    """What the directory of a producer in this process says of it."""
    return About(producer, os.getpid(), os.uname().nodename, publish, time_text(time.time()), companion=companion)


def _lock(*locks: Lock) -> None:
    if not all(lock.acquire() for lock in locks):
        raise OSError("its files cannot be locked (a network file system?)")


def all_in(root: Path) -> Iterator[SpoolDirectory]:
    """Every producer's directory under a spool root, oldest first.

    Left alone: foreign files, links, and what belongs to another user.
    """
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(root.iterdir()):
            directory = SpoolDirectory(path)
            if not path.name.startswith(".") and path.name != REJECTED and directory.is_there():
                yield directory


def remove_half_made(root: Path) -> None:
    """Delete the directories whose makers died before they had a name: old ones with a free lock hold no event.

    And those whose remover died before its last step: without a lock, they are no producer's any more.

    Raises:
        OSError: the root cannot be looked at.
    """
    with contextlib.suppress(FileNotFoundError):
        for path in root.iterdir():
            directory, lock = SpoolDirectory(path), Lock(path / "owner.lock")
            if _HALF_MADE.fullmatch(path.name) and _is_left(path) and lock.acquire():
                try:
                    directory.remove()
                finally:
                    lock.release()
            elif _MADE.fullmatch(path.name) and not directory.owner_lock.exists():
                with contextlib.suppress(OSError):  # not empty, or not a directory
                    path.rmdir()


def _is_left(path: Path) -> bool:
    """Whether a directory of this user has long not changed, and holds nothing that `create` does not make."""
    try:
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            return False
        return time.time() - status.st_mtime > _MAKING_SECONDS and {each.name for each in path.iterdir()} <= _MADE_FIRST
    except OSError:
        return False


def end_of(directory: SpoolDirectory) -> tuple[int, int] | None:
    """(segment, offset) up to where frames stand now, at least; None without segments.

    Raises:
        OSError: it cannot be looked at now.
    """
    numbers = directory.segments()
    return (numbers[-1], filled(directory.segment(numbers[-1]))) if numbers else None


def inspect(root: Path) -> list[SpoolInfo]:
    """What stands on the spools under `root`, oldest producer first. Takes nothing and changes nothing."""
    return [_info(directory) for directory in all_in(root)]


def _info(directory: SpoolDirectory) -> SpoolInfo:
    about = directory.about()
    segment, offset = read_cursor(directory)
    numbers = [number for number in directory.segments() if number >= segment]
    size, counted, records, oldest = 0, 0, 0, None
    for number in numbers:
        with contextlib.suppress(FileNotFoundError):
            status = directory.segment(number).stat()
            begin = offset if number == segment else 0
            end = max(begin, filled(directory.segment(number))) if number == numbers[-1] else status.st_size
            if counted < _COUNTED_BYTES:
                count, end = _counted(directory.segment(number), begin, end)
                counted += end - begin
                records += count
            size += end - begin
            if end > begin and oldest is None:
                oldest = max(0.0, time.time() - status.st_mtime)
    return SpoolInfo(
        path=str(directory.path),
        producer=directory.producer,
        process=about.process if about else 0,
        alive=directory.owner_is_alive(),
        publish=about.publish if about else "internal",
        segments=len(numbers),
        bytes=size,
        records=round(records * size / counted) if counted else 0,
        oldest_seconds=oldest,
    )


def _counted(path: Path, begin: int, end: int) -> tuple[int, int]:
    """How many whole frames begin between two offsets of a segment; the second, or where the last of them ends."""
    count, size = 0, _READ_BYTES
    fd = files.open_to_read(path)
    try:
        while begin < end:
            buffer = os.pread(fd, min(size, end - begin + CHECK_BYTES), begin)
            parsed = parse(buffer, final=False)
            count += len(parsed.rows)
            begin += parsed.consumed
            if not parsed.consumed:
                if len(buffer) < size:
                    break  # torn, or room that was left
                size *= 2  # one frame larger than that, or damage as large
    finally:
        os.close(fd)
    return count, max(begin, end)


def filled(path: Path) -> int:
    """How far a preallocated segment is filled, but for zeros at the end of its last frame's checksum.

    From its end, in pieces: it may be read beside a program's threads.
    """
    fd = files.open_to_read(path)
    try:
        end = os.fstat(fd).st_size
        while end:
            start = max(0, end - _PIECE_BYTES)
            if piece := os.pread(fd, end - start, start).rstrip(b"\0"):
                return start + len(piece)
            end = start
        return 0
    finally:
        os.close(fd)


def _is_newer(segment: Path) -> bool:
    try:
        fd = files.open_to_read(segment)
    except FileNotFoundError:
        return False
    try:
        magic = os.pread(fd, len(MAGIC), 0)
    finally:
        os.close(fd)
    return magic[:-1] == MAGIC[:-1] and magic > MAGIC
