"""The producer's side of a spool: append a frame, in the caller, without a lock."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

import msgspec

from tailrace.config import SpoolSettings
from tailrace.errors import SpoolError
from tailrace.spool import frame
from tailrace.spool.directory import Lock, SpoolDirectory, create

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_MEASURE_SECONDS = 1.0


class SpoolFullError(SpoolError):
    """The spool holds `spool.max_bytes` that the bus has not taken."""


class Spool:
    """Appends to one producer's spool directory.

    `append` may be called from any thread at the same time, from a signal handler, and in the middle of itself: the
    kernel makes each writev to an O_APPEND file atomic against the others. What it returned from survives the death
    of the process; it survives a power cut once `sync` returned.
    """

    def __init__(self, root: Path, producer: str, settings: SpoolSettings, publish: str) -> None:
        self.directory: SpoolDirectory
        self.directory, self._owner, self.ship_lock = create(root, producer, publish)
        self._settings = settings
        self._number = 1
        self._fd = self._open(1)
        self._runs_fd = os.open(self.directory.runs, _FLAGS, 0o600)
        self._size = 0
        self._older = 0
        self._measured = 0.0
        self._rotating = threading.Lock()

    def append(self, seq: int, topic: bytes, key: bytes, span: bytes, value: bytes) -> None:
        """Write one frame.

        Raises:
            SpoolFullError: the budget is used up.
            OSError: the disk does not take it. A part of the frame may stand in the file; readers skip it.
        """
        buffers = frame.pack(seq, topic, key, span, value)
        size = len(buffers[0]) + len(value) + frame.TRAILER.size
        if self._size >= self._settings.segment_bytes:
            self._rotate()
        if self._older + self._size + size > self._settings.max_bytes and not self._has_room(size):
            raise SpoolFullError(f"the spool holds {self._settings.max_bytes} bytes that the bus has not taken")
        written = os.writev(self._fd, buffers)
        # Threads may lose each other's additions: a segment then grows a little longer before it is closed.
        self._size += size
        if written != size:
            raise OSError(f"the disk took {written} of {size} bytes")

    def run_opened(self, run: str, workflow: str) -> None:
        """Note that this producer opened a run: if it dies first, who sweeps its spool says so on the run's topic."""
        os.write(self._runs_fd, b"\n" + msgspec.json.encode(["+", run, workflow]) + b"\n")

    def run_ended(self, run: str) -> None:
        os.write(self._runs_fd, b"\n" + msgspec.json.encode(["-", run, ""]) + b"\n")

    def sync(self) -> None:
        """Returns when all that was appended before the call survives a power cut. Blocks for the disk."""
        for number in self.directory.segments():
            with contextlib.suppress(FileNotFoundError):  # acknowledged and deleted meanwhile
                fd = os.open(self.directory.segment(number), os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)

    def written(self) -> tuple[int, int]:
        """(segment, size): the place behind everything appended so far."""
        number = self._number
        try:
            return number, self.directory.segment(number).stat().st_size
        except FileNotFoundError:
            return number, 0

    def bytes_used(self) -> int:
        """Bytes on disk: what the bus has not acknowledged, and up to two segments that it has."""
        total = 0
        for number in self.directory.segments():
            with contextlib.suppress(FileNotFoundError):
                total += self.directory.segment(number).stat().st_size
        return total

    def mark_closed(self) -> None:
        """Note that the producer ends in order."""
        self.directory.closed.touch(mode=0o600)

    def release(self) -> None:
        """Close every file, and with them the locks; frames stay. In a forked child this only drops its copies."""
        for fd in (self._fd, self._runs_fd):
            with contextlib.suppress(OSError):
                os.close(fd)
        self.ship_lock.release()
        self._owner.release()

    @property
    def owner_lock(self) -> Lock:
        return self._owner

    def _open(self, number: int) -> int:
        return os.open(self.directory.segment(number), _FLAGS | os.O_EXCL, 0o600)

    def _rotate(self) -> None:
        """Begin the next segment. dup2 swaps the file behind one descriptor number: no append can meet a closed one."""
        if not self._rotating.acquire(blocking=False):
            return  # another thread is at it, or the thread that this signal handler interrupted
        try:
            if self._size < self._settings.segment_bytes:
                return
            fd = self._open(self._number + 1)
            os.dup2(fd, self._fd, inheritable=False)
            os.close(fd)
            self._number += 1
            self._size = 0
            self._measure()
        finally:
            self._rotating.release()

    def _has_room(self, size: int) -> bool:
        if time.monotonic() - self._measured >= _MEASURE_SECONDS:
            self._measure()
        return self._older + self._size + size <= self._settings.max_bytes

    def _measure(self) -> None:
        """Who ships deletes segments behind our back: look what is left."""
        self._older = max(0, self.bytes_used() - self._size)
        self._measured = time.monotonic()


def open_runs(directory: SpoolDirectory) -> dict[str, str]:
    """Run id -> workflow of the runs that the producer opened and did not end, as far as its notes can be read."""
    found: dict[str, str] = {}
    try:
        lines = directory.runs.read_bytes().split(b"\n")
    except OSError:
        return found
    for line in lines:
        try:
            sign, run, workflow = msgspec.json.decode(line, type=tuple[str, str, str])
        except msgspec.MsgspecError:
            continue  # the empty lines between notes, or one torn by the crash
        if sign == "+":
            found[run] = workflow
        else:
            found.pop(run, None)
    return found
