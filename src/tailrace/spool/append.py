"""The producer's side of a spool: append a frame, in the caller, without a lock and without a system call."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import sys
import threading
import time
from functools import partial
from pathlib import Path

from tailrace.config import SpoolSettings
from tailrace.errors import SpoolError
from tailrace.spool import files, segment
from tailrace.spool.aside import Aside
from tailrace.spool.directory import ASIDE, about_me, create
from tailrace.spool.runs import RunNotes
from tailrace.spool.spares import Spares

_FIRST_BYTES = 256 << 10
"""A process that logs little takes little: the first segment is small, each next one twice as large."""
_FRESH_BYTES = 512 << 10
"""What a log call makes if it cannot wait for the spare: some 0.2 ms."""
_MEASURE_SECONDS = 1.0
_RENEW_SECONDS = 0.25
_SHORT_SECONDS = 0.5
"""Where segments are filled as quickly as that, the next one is made at once; else there is time to see whether one
comes back that was used."""
_KEEP_SECONDS = 10.0
"""In one segment: after so long no others are kept for the next ones."""


def _references() -> int:
    """What is counted in `Spool._trim` of a mapping that nobody else holds: 4, and from Python 3.14 on 3."""
    retired = {0: object()}
    return max(sys.getrefcount(alone) for _, alone in list(retired.items()))


_REFERENCES = _references()


class SpoolFullError(SpoolError):
    """The spool holds `spool.max_bytes` that the bus has not taken."""


class Spool:
    """Appends to one producer's spool directory.

    A segment is a preallocated file, mapped into memory. `append` is one call of `mmap.write`, which copies and moves
    the place on in C, under the GIL: no other thread comes between, nor a signal handler, nor a call that the call
    itself leads to. It never gives the GIL away, so a busy publisher thread cannot take its turn in the middle of a
    log call. What it returned from survives the death of the process, because the pages are the kernel's; it survives
    a power cut once `sync` returned.

    Limits: who truncates a segment from outside kills the process with SIGBUS at its next append there. A directory
    that was deleted or moved away is noticed by `renew`, some three times a second, which saves what the segment in
    use held; frames of older segments that the bus had not taken are lost with the directory, and all of them are if
    the process dies before the notice.
    """

    def __init__(self, root: Path, producer: str, settings: SpoolSettings, publish: str, companion: str = "") -> None:
        self._create = partial(create, root, producer, publish, companion)
        self._about = about_me(producer, publish, companion)
        self.is_guest = bool(companion)
        """Whether another process ships it, and removes it in the end."""
        self._settings = settings
        self.directory, self._owner, self.ship_lock = self._create()
        self._turn = threading.RLock()
        self._turning = False
        self.turned = threading.Event()
        """Set when another segment has been taken: whoever calls `prepare` may wait for it, and clears it."""
        self._measured = 0.0
        self._used = 0
        self._retired: dict[int, mmap.mmap] = {}
        self._was_late = False
        """Whether a log call had to make its segment itself."""
        self._turned_at = time.monotonic()
        self._lasted = math.inf
        """Seconds that the segment before was in use."""
        self._number = 1
        self._starts = {1: 0}
        """Of each segment: the bytes appended to those before it."""
        first = min(_FIRST_BYTES, settings.segment_bytes)
        self._spares = Spares(self.directory, settings.segment_bytes, first)
        self._renewed = time.monotonic()
        with contextlib.ExitStack() as undo:
            undo.callback(self._unlock)
            undo.callback(self.directory.remove)
            self._notes = RunNotes(self.directory)
            undo.callback(self._notes.close)
            self._aside = Aside(self.directory)
            self._map = segment.made(self.directory.segment(1), first)
            undo.pop_all()
        self.write = self._map.write
        """Writes one frame, or raises ValueError where it does not fit into what is left of the segment: the short way
        for a logging call, which then takes `append`."""

    def append(self, frame: bytes) -> None:
        """Write one frame. Any thread, at any time.

        Raises:
            SpoolFullError: the budget is used up.
            SpoolError: signal handlers logged too much while the thread that they interrupted changed segments.
            OSError: the disk has no room for another segment.
        """
        try:
            self.write(frame)
        except ValueError:  # it does not fit into what is left of the segment
            self._write_to_next(frame)

    def run_opened(self, run: str, workflow: str) -> None:
        """Note that this producer opened a run: if it dies first, who sweeps its spool says so on the run's topic."""
        self._notes.opened(run, workflow)

    def run_ended(self, run: str) -> None:
        self._notes.ended(run)

    def prepare(self) -> None:
        """Have the next segment ready before it is needed, so that no log call makes it. Blocks for the disk.

        Also lets go of older mappings, which count as memory. A log call that comes meanwhile and needs a segment does
        not wait: it makes a smaller one.
        """
        self._trim()
        spares = self._spares
        with contextlib.suppress(OSError, SpoolError), spares.lock:  # a log call will meet the same, and count it
            is_due = self._was_late or self._lasted < _SHORT_SECONDS or self._map.tell() * 2 >= len(self._map)
            if spares.ready is None and (is_due or spares.has_kept()):
                spares.make_ready(self._check_budget)
                self._was_late = False
            if time.monotonic() - self._turned_at > _KEEP_SECONDS:
                spares.give_back()

    def renew(self) -> str:
        """Go on in a fresh directory or segment if this one was deleted or replaced: a line about it, else "".

        For the thread that calls `prepare`; looks at most four times a second.
        """
        now = time.monotonic()
        if now - self._renewed < _RENEW_SECONDS:
            return ""
        self._renewed = now
        if self._is_in_place():
            with contextlib.suppress(OSError):  # tried again at the next look
                self.directory.keep_about(self._about)
                self._keep_aside()
            return ""
        gone = f"the spool {self.directory.path} was deleted or replaced"
        try:
            with self._spares.lock, self._turn:
                if self._is_in_place():  # a log call took the next segment in between
                    return ""
                if files.size(self.directory.segment(self._number)):
                    self._owner.release()
                    is_taken = self._owner.acquire()  # else at the next look: somebody looks whether it is free
                    lock = self.directory.owner_lock
                    return f"the lock {lock} was deleted or replaced; it was taken again" if is_taken else ""
                self._begin_again()
        except (OSError, SpoolError) as error:
            return f"{gone}, and another cannot be made: {error}"
        return f"{gone}; another was made, and what only it held of earlier segments is lost"

    def _is_in_place(self) -> bool:
        return self._owner.is_named() and files.size(self.directory.segment(self._number)) > 0

    def _begin_again(self) -> None:
        if self._owner.is_named():  # only the segment is gone
            self._go_on_in(segment.made(self.directory.segment(self._number + 1), len(self._map)))
            return
        if not self.directory.segments():
            self.directory.remove()
        directory, owner, ship = self._create()
        with contextlib.ExitStack() as undo:
            for step in (ship.release, owner.release, directory.remove):
                undo.callback(step)
            made = segment.made(directory.segment(self._number + 1), len(self._map))
            aside = Aside(directory)
            self._notes.move(directory)
            undo.pop_all()
        self._unlock()
        self._owner, self.ship_lock = owner, ship
        self._spares.move(directory)
        self._go_on_aside(aside)
        self._go_on_in(made)

    def _keep_aside(self) -> None:
        if not self._aside.is_in_place():
            made = Aside(self.directory)
            with self._turn:  # nobody writes to it meanwhile
                self._go_on_aside(made)

    def _go_on_aside(self, made: Aside) -> None:
        made.take_over(self._aside)
        self._aside = made

    def _go_on_in(self, made: mmap.mmap) -> None:
        """With a copy of the segment in use: it is gone from the directory, but not from memory."""
        old, copied = self._map, 0
        while rest := old[copied : old.tell()]:  # what other threads append meanwhile, they append behind it
            made.write(rest)
            copied += len(rest)
        self._swap(made)
        made.write(old[copied : old.tell()])

    def reuse(self, number: int) -> bool:
        """Keep an acknowledged segment that was let go: its pages are there already. False: it may be deleted."""
        with self._spares.lock:
            return self._spares.keep(self.directory.segment(number))

    def sync(self) -> None:
        """Returns when all that was appended before the call survives a power cut. Blocks for the disk."""
        for number in (ASIDE, *self.directory.segments()):
            with contextlib.suppress(FileNotFoundError):  # acknowledged and deleted meanwhile
                fd = files.open_to_read(self.directory.segment(number))
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)

    def written(self) -> tuple[int, int]:
        """(segment, offset): the place behind everything appended so far."""
        while True:
            number, place = self._number, self._map.tell()
            if number == self._number:
                return number, place

    def mapped(self, number: int) -> mmap.mmap | None:
        """The segment in use, which is read without a system call; None for any other."""
        return self._map if self._number == number else None

    def has_aside(self) -> bool:
        """Whether signal handlers ever had to write aside."""
        return not self._aside.is_empty()

    def is_let_go(self, number: int) -> bool:
        """Whether no append can still be on its way into that segment: it may go once it is acknowledged."""
        self._trim()
        return ASIDE < number < self._number and number not in self._retired

    def _trim(self) -> None:
        """Let go of the mappings of older segments."""
        for number, retired in list(self._retired.items()):
            # A thread that was interrupted between taking `write` and calling it holds one more reference. The
            # others: `_retired`, the list, its pair, the local name, the argument.
            if sys.getrefcount(retired) <= _REFERENCES:
                self._retired.pop(number, None)

    def appended(self, upto: tuple[int, int] | None = None) -> int:
        """Bytes appended in all, or up to a place that `written` or a reader gave. Costs no system call."""
        number, end = upto or self.written()
        return self._starts.get(number, 0) + end

    def bytes_behind(self, place: tuple[int, int]) -> int:
        """Bytes appended behind a place that `written` or a reader gave."""
        number, end = self.written()
        if place[0] >= number:
            return max(0, end - place[1])
        older = sum(files.size(self.directory.segment(each)) for each in range(max(1, place[0]), number))
        return max(0, older + end - place[1])

    def age_of(self, place: tuple[int, int]) -> float | None:
        """Seconds since something was last appended to the segment of that place; None if it is gone."""
        try:
            return max(0.0, time.time() - self.directory.segment(max(1, place[0])).stat().st_mtime)
        except FileNotFoundError:
            return None

    def bytes_used(self) -> int:
        """Bytes of the segments that are not deleted yet, as far as they are filled."""
        older = sum(
            files.size(self.directory.segment(number)) for number in self.directory.segments() if number < self._number
        )
        return older + self._map.tell()

    def mark_closed(self) -> None:
        """Note that the producer ends in order. A disk that does not take the note costs a word in the document."""
        with contextlib.suppress(OSError):
            files.write(self.directory.closed, b"")

    def leave(self) -> None:
        """The producer ended, everything is acknowledged, and no thread can append any more."""
        if self.is_guest:
            self.release()  # the companion, which has its files open, removes them
        else:
            self.directory.remove()

    def release(self) -> None:
        """Close files, and with them the locks; frames stay. In a forked child this only drops its copies."""
        with contextlib.suppress(OSError):
            self._notes.close()
        self._unlock()

    def _unlock(self) -> None:
        self.ship_lock.release()
        self._owner.release()

    def _write_to_next(self, frame: bytes) -> None:
        with self._turn:
            if self._turning:  # a signal handler, in the thread that is at it
                self._aside.write(frame)
                return
            self._turning = True
            try:
                while not self._fits(frame):  # other threads may have changed segments, or filled the new one
                    self._turn_over(len(frame))
            finally:
                self._turning = False

    def _fits(self, frame: bytes) -> bool:
        try:
            self.write(frame)
        except ValueError:
            return False
        return True

    def _turn_over(self, needed: int) -> None:
        # Under its number only when nothing can fail any more: to a reader, a segment with a successor is closed.
        following = self.directory.segment(self._number + 1)
        made = self._spares.take(following, needed)
        if made is None:
            self._was_late = True
            size = max(needed, min(_FRESH_BYTES, self._settings.segment_bytes))
            self._check_budget(size)
            made = segment.made_anew(self.directory.fresh, size)
            self.directory.fresh.rename(following)
        self._swap(made)
        self._trim()
        self.turned.set()

    def _swap(self, made: mmap.mmap) -> None:
        self._retired[self._number] = self._map
        self._starts[self._number + 1] = self._starts[self._number] + self._map.tell()
        self._map, self.write, self._number = made, made.write, self._number + 1
        now = time.monotonic()
        self._lasted, self._turned_at = now - self._turned_at, now

    def _check_budget(self, size: int) -> None:
        limit = self._settings.max_bytes
        if self.appended() + size <= limit:
            return  # whatever was shipped of it
        now = time.monotonic()
        if self._used + size > limit and now - self._measured < _MEASURE_SECONDS:
            raise SpoolFullError(f"the spool holds {limit} bytes that the bus has not taken")
        self._used, self._measured = self.bytes_used(), now
        if self._used + size > limit:
            raise SpoolFullError(f"the spool holds {limit} bytes that the bus has not taken")
