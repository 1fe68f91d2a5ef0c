"""A producer's spool directory: names, locks, and looking at it from outside."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tailrace.errors import SpoolError
from tailrace.event.ids import time_text
from tailrace.spool import About, SpoolInfo

_SEGMENT = "segment-"
_SUFFIX = ".frames"
ASIDE = 0
"""Number of the segment for calls that come while their own thread changes segments; the others count from 1."""
REJECTED = "rejected"
"""Directory beside the producers': frames that the bus refused for good, kept for a person to look at."""


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
        """Numbers of the segments there are, in order, without the one aside. Other files are left alone."""
        try:
            names = [path.name for path in self.path.iterdir()]
        except FileNotFoundError:
            return []
        stems = (name[len(_SEGMENT) : -len(_SUFFIX)] for name in names if name.startswith(_SEGMENT))
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def about(self) -> About | None:
        try:
            return msgspec.json.decode(self._about.read_bytes(), type=About)
        except (OSError, msgspec.MsgspecError):
            return None

    def write_about(self, about: About) -> None:
        _write(self._about, msgspec.json.encode(about) + b"\n")

    def owner_is_alive(self) -> bool:
        lock = Lock(self.owner_lock)
        if lock.acquire():
            lock.release()
            return False
        return self.owner_lock.exists()

    def remove(self) -> None:
        """Delete all of it; what cannot be deleted is found again by the next sweep."""
        shutil.rmtree(self.path, ignore_errors=True)


class Lock:
    """An flock on a file: freed by the kernel when its holder dies. Not inherited through exec."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def acquire(self) -> bool:
        """Take the lock if it is free; never waits. False also where the file cannot be opened."""
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    def release(self) -> None:
        """Close the file. In a forked child this leaves the parent's lock held, as an unlock would not."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def create(root: Path, producer: str, publish: str) -> tuple[SpoolDirectory, Lock, Lock]:
    """A new directory, with its owner lock held, and its ship lock too unless `publish` is `external`.

    It appears under its name only when the locks are held, so that no sweeper takes it for an orphan.

    Raises:
        SpoolError: it cannot be made; names the path and the reason.
    """
    try:
        root.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        root.mkdir(exist_ok=True, mode=0o700)
        unnamed = SpoolDirectory(root / f".{producer}")
        unnamed.path.mkdir(mode=0o700)
        owner, ship = Lock(unnamed.owner_lock), Lock(unnamed.ship_lock)
        locked = owner.acquire() and (publish != "internal" or ship.acquire())
        about = About(producer, os.getpid(), os.uname().nodename, publish, time_text(time.time()))
        unnamed.write_about(about)
        named = SpoolDirectory(root / producer)
        unnamed.path.rename(named.path)
    except OSError as error:
        raise SpoolError(f"the spool directory {root} cannot be used: {error}; set spool.directory") from error
    if not locked:
        raise SpoolError(f"files under {root} cannot be locked (a network file system?); set spool.directory")
    return named, owner, ship


def all_in(root: Path) -> Iterator[SpoolDirectory]:
    """Every producer's directory under a spool root, oldest first. Foreign files are left alone."""
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(root.iterdir()):
            directory = SpoolDirectory(path)
            if not path.name.startswith(".") and path.name != REJECTED and directory.owner_lock.exists():
                yield directory


def inspect(root: Path) -> list[SpoolInfo]:
    """What stands on the spools under `root`, oldest producer first. Takes nothing and changes nothing."""
    return [_info(directory) for directory in all_in(root)]


def _info(directory: SpoolDirectory) -> SpoolInfo:
    about = directory.about()
    segment, offset = read_cursor(directory)
    numbers = [number for number in directory.segments() if number >= segment]
    size, oldest = 0, None
    for number in numbers:
        with contextlib.suppress(FileNotFoundError):
            status = directory.segment(number).stat()
            end = _filled(directory.segment(number)) if number == numbers[-1] else status.st_size
            left = end - (offset if number == segment else 0)
            size += left
            if left and oldest is None:
                oldest = max(0.0, time.time() - status.st_mtime)
    return SpoolInfo(
        path=str(directory.path),
        producer=directory.producer,
        process=about.process if about else 0,
        alive=directory.owner_is_alive(),
        publish=about.publish if about else "internal",
        segments=len(numbers),
        bytes=size,
        oldest_seconds=oldest,
    )


def _filled(path: Path) -> int:
    """How far a preallocated segment is filled."""
    return len(path.read_bytes().rstrip(b"\0"))


def read_cursor(directory: SpoolDirectory) -> tuple[int, int]:
    """(segment, offset) below which all is acknowledged; (0, 0) where nothing is known."""
    try:
        segment, offset, check = directory.cursor.read_text().split()
        if int(check) == int(segment) ^ int(offset):
            return int(segment), int(offset)
    except (OSError, ValueError):
        pass
    return 0, 0


def write_cursor(directory: SpoolDirectory, segment: int, offset: int) -> None:
    """Not synced: a cursor that is lost or torn only means that records are sent again."""
    _write(directory.cursor, f"{segment} {offset} {segment ^ offset}\n".encode())


def _write(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(fd, content)
    finally:
        os.close(fd)
