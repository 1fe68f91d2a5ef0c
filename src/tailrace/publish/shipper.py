"""Moves one spool to the bus: frames into lanes, one lane a topic, each with one publish under way at a time.

A lane that cannot get on (broker down, topic refused) holds back only itself until the frames in memory reach
`Pace.memory_bytes`; the rest waits in the segments. Partitions of a topic go in parallel within one publish.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from tailrace.bus import Bus, Record
from tailrace.bus.bundle import Bundle, Bundled
from tailrace.errors import BusError, ClosedError, TailraceError
from tailrace.publish.courtesy import Courtesy
from tailrace.publish.pace import BESIDE, Pace
from tailrace.publish.records import bundles_of
from tailrace.publish.routing import Router
from tailrace.spool import files
from tailrace.spool.frame import NO_SPAN, pack
from tailrace.spool.tail import Tail, Window

_BACKOFF_SECONDS = (0.1, 5.0)
_PATIENCE = 1.25
"""How much longer each wait in vain is than the one before: from 30 to 100 ms within half a second."""
_REST = 2.0
_LONGEST_REST = 0.01
"""Seconds, however long a turn took: the process may have been stopped in it."""
_SPOOL = ""
"""Among the troubles of topics, that of reading the spool."""
_random = random.Random()  # noqa: S311 - jitter


class _Part:
    """Those records of a window that belong to one topic; `size` of their values in bytes."""

    __slots__ = ("bundles", "count", "size", "window")

    def __init__(self, window: Window) -> None:
        self.window = window
        self.bundles: list[Bundle] = []
        self.count = self.size = 0

    def add(self, bundle: Bundle) -> None:
        self.bundles.append(bundle)
        self.count += len(bundle.values)
        self.size += sum(map(len, bundle.values))


class _Lane:
    """Records of one topic, in order."""

    __slots__ = ("parts", "ready")

    def __init__(self) -> None:
        self.parts: deque[_Part] = deque()
        self.ready = anyio.Event()

    def take(self, limit: int) -> list[_Part]:
        taken: list[_Part] = []
        size = 0
        while self.parts and size < limit:
            size += self.parts[0].size
            taken.append(self.parts.popleft())
        return taken


class Shipper:
    """Ships one spool. Runs on one event loop; whoever makes it holds the spool's ship lock.

    `on_trouble` is called with a line when a lane cannot get on, and with "" when all can again; `on_progress` whenever
    `position` may have moved.
    """

    def __init__(
        self,
        tail: Tail,
        bus: Bus,
        router: Router,
        *,
        on_trouble: Callable[[str], None] = lambda _: None,
        on_progress: Callable[[], None] = lambda: None,
        courtesy: Courtesy | None = None,
        pace: Pace = BESIDE,
        give_up: bool = False,
    ) -> None:
        self.tail = tail
        self.rejected = 0
        self.trouble = ""
        self.position = tail.position()
        """(segment, offset) below which the bus has acknowledged everything; may be read from other threads."""
        self.looked = 0.0
        """When the look at the spool began that `position` comes from, on the monotonic clock."""
        self.caught_up_at = time.monotonic()
        """When last all was read that stood on the spool, on the monotonic clock; may be read from other threads."""
        self._bus = bus
        self._router = router
        self._on_trouble = on_trouble
        self._on_progress = on_progress
        self._courtesy = courtesy
        self._pace = pace
        self._give_up = give_up
        self._lanes: dict[str, _Lane] = {}
        self._held = 0
        self._moved = False
        """Whether something was acknowledged since the tail was asked what it can let go."""
        self._woken = anyio.Event()
        self._troubles: dict[str, str] = {}
        self._wait = pace.look_seconds
        self._look_at = 0.0
        """When the spool is read next: what comes in small numbers is shipped together, however quick the bus is."""

    async def run(
        self, *, is_final: Callable[[], bool], is_done: Callable[[], bool], upto: tuple[int, int] | None = None
    ) -> None:
        """Ship until `is_done()` is true and the spool is empty or acknowledged up to the place `upto`, or for ever.

        `is_final` says whether nobody appends any more.

        Raises:
            BusError: only with `give_up`: the bus cannot be reached.
        """
        async with anyio.create_task_group() as group:
            while True:
                try:
                    found = self._step(group, final=is_final())
                    done = is_done() and (self._is_past(upto) or (not found and self.tail.is_empty()))
                    self._report(_SPOOL, "")
                except OSError as error:
                    if self._give_up:
                        raise
                    self._report(_SPOOL, f"{type(error).__name__}: {error}")
                    found = done = False
                if done:
                    break
                await self._pause()
                await anyio.lowlevel.checkpoint()
                for _ in range(self._pace.loop_turns):
                    await asyncio.sleep(0)
            group.cancel_scope.cancel()
        self.tail.settle(final=is_final())
        self.tail.flush_cursor()

    def _is_past(self, place: tuple[int, int] | None) -> bool:
        return place is not None and self.tail.position() >= place

    def _has_room(self) -> bool:
        return self._held < self._pace.memory_bytes

    def wake(self) -> None:
        """Look at the spool now, and ship it without courtesy. Called on the loop that runs `run`."""
        if self._courtesy is not None:
            self._courtesy.hurry()
        self._look_at = 0.0
        self._woken.set()

    def _gives_way(self) -> bool:
        return self._courtesy is not None and self._courtesy.is_due(self.position)

    def _step(self, group: TaskGroup, *, final: bool) -> bool:
        """Hand what was appended to the lanes, and let go of what is acknowledged. Whether there was anything."""
        begun, before = time.monotonic(), self._held
        window = self._look(final=final)
        found = window is not None
        while window is not None:
            begun = self._end_turn(begun)
            self._hand_out(group, window)
            begun = self._end_turn(begun)
            is_more = self._look_at == 0.0 and self._held - before < self._pace.look_bytes
            window = self._look(final=final) if is_more else None
        if self._moved or not found:
            self._moved = False
            self.looked = time.monotonic()
            self.tail.settle(final=final)
            self.position = self.tail.position()
            self._on_progress()
        return found

    def _look(self, *, final: bool) -> Window | None:
        """What was appended, if it is time to read it."""
        if not self._has_room():
            self._wait = self._longer_wait()
            return None
        now = time.monotonic()
        if now < self._look_at and not final:
            return None
        self._look_at = now + self._wait  # also if it cannot be read
        window = None if self._gives_way() else self.tail.read(final=final)
        self._wait = self._pace.look_seconds if window is not None else self._longer_wait()
        is_behind = window is not None and self.tail.is_behind()
        self._look_at = 0.0 if is_behind else now + self._wait
        if not is_behind:
            self.caught_up_at = now
        return window

    def _longer_wait(self) -> float:
        return min(self._wait * _PATIENCE, self._pace.idle_seconds)

    def _end_turn(self, begun: float) -> float:
        """Where other threads wait for the GIL, give it away: for twice as long as it was held, unless it is urgent.

        Gives when the next turn begins.
        """
        least = self._pace.turn_seconds
        if least:
            is_urgent = self._courtesy is not None and not self._courtesy.may_rest(self.position)
            rest = min(_REST * (time.monotonic() - begun), _LONGEST_REST)
            time.sleep(least if is_urgent else max(least, rest))
        return time.monotonic()

    def _hand_out(self, group: TaskGroup, window: Window) -> None:
        parts: dict[str, _Part] = {}
        for bundle in bundles_of(window.rows):
            part = parts.get(bundle.topic)
            if part is None:
                part = parts[bundle.topic] = _Part(window)
            part.add(bundle)
        window.rows.clear()
        for topic, part in parts.items():
            self._held += part.size
            lane = self._lanes.get(topic)
            if lane is None:
                lane = self._lanes[topic] = _Lane()
                group.start_soon(self._drive, topic, lane)
            lane.parts.append(part)
            lane.ready.set()

    async def _pause(self) -> None:
        """Until something was acknowledged, or enough may have been appended."""
        wait = self._look_at - time.monotonic() if self._has_room() else self._wait
        if wait > 0:
            with anyio.move_on_after(wait):
                await self._woken.wait()
            self._woken = anyio.Event()

    async def _drive(self, topic: str, lane: _Lane) -> None:
        while True:
            await lane.ready.wait()
            lane.ready = anyio.Event()
            while parts := lane.take(self._pace.batch_bytes):
                await self._publish(topic, Bundled([bundle for part in parts for bundle in part.bundles]))
                for part in parts:
                    self.tail.ack(part.window, part.count)
                    self._held -= part.size
                self._moved = True
                self._woken.set()

    async def _publish(self, topic: str, batch: Bundled) -> None:
        """Returns when each record of the batch is on the bus or put aside."""
        try:
            await self._until_taken(topic, batch)
        except BusError as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._publish(topic, batch[:middle])
                await self._publish(topic, batch[middle:])
            else:
                await self._put_aside(batch[0], error)

    async def _until_taken(self, topic: str, batch: Bundled) -> None:
        """Retries what may succeed later.

        Raises:
            BusError: the bus refuses a record of the batch for good (or, with `give_up`, cannot be reached).
        """

        async def attempt() -> None:
            route = await self._router.route(topic)
            await self._bus.publish(batch if route == topic else batch.moved(route))

        await self._until_done(topic, attempt)

    async def _until_done(self, topic: str, attempt: Callable[[], Awaitable[None]]) -> None:
        delay = _BACKOFF_SECONDS[0]
        while (error := await _failure_of(attempt)) is not None:
            if self._give_up:
                raise _GiveUpError(str(error)) from error
            self._report(topic, f"{type(error).__name__}: {error}")
            await anyio.sleep(delay * (0.5 + _random.random()))
            delay = min(delay * 2, _BACKOFF_SECONDS[1])
        self._report(topic, "")

    def _report(self, topic: str, trouble: str) -> None:
        if trouble:
            self._troubles[topic] = trouble
        else:
            self._troubles.pop(topic, None)
        worst = next(iter(self._troubles.values()), "")
        if bool(worst) != bool(self.trouble):
            self._on_trouble(worst)
        self.trouble = worst

    async def _put_aside(self, record: Record, error: BusError) -> None:
        """A record that the bus will never take must not hold up the others: it stays on disk for a person to see."""

        async def attempt() -> None:
            _append(self.tail.directory.rejected, record)

        await self._until_done(record.topic, attempt)
        self.rejected += 1
        self._on_trouble(f"a record of {record.topic} was refused and put aside: {error}")


def _append(path: Path, record: Record) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if path.parent.is_symlink():
        raise FileExistsError(f"{path.parent} is a link; records are put aside only in a directory")
    fd = files.open_to_append(path)
    try:
        os.write(fd, pack(0, record.topic, record.key, NO_SPAN, record.value))
    finally:
        os.close(fd)


class _GiveUpError(TailraceError):
    """Carries a retryable bus error out of the lanes."""


async def _failure_of(attempt: Callable[[], Awaitable[None]]) -> Exception | None:
    """What went wrong if trying again may help; None if nothing did.

    Raises:
        BusError: trying again will not help.
    """
    try:
        await attempt()
    except BusError as error:
        if not error.retryable:
            raise
        return error
    except ClosedError:
        raise
    except Exception as error:  # noqa: BLE001 - a bug in a bus must not end the shipping of everything else
        return error
    return None
