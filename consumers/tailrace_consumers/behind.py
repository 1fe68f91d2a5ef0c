"""One write under way while the next batch is read and fed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

_TURNS = 12
"""Of the event loop, at most, that a write gets before the next batch is fed: by then aiokafka has sent its request.
Feeding keeps the loop for up to a tenth of a second, in which the brokers are to have something to do."""


class WriteBehind:
    """Writes one thing after the other in a task of `group`. Not for several tasks at once."""

    def __init__(self, group: TaskGroup) -> None:
        self._group = group
        self._done = anyio.Event()
        """Set while nothing is under way."""
        self._done.set()
        self._error: Exception | None = None

    async def begin(self, write: Callable[[], Awaitable[None]]) -> None:
        """Returns when `write` is under way, and what was begun before it is done; raises what that raised."""
        await self.done()
        self._done = anyio.Event()
        self._group.start_soon(self._run, write)
        for _ in range(_TURNS):
            if self._done.is_set():
                break
            await anyio.lowlevel.checkpoint()

    async def done(self) -> None:
        """Returns when nothing is under way; raises what the last write raised."""
        await self._done.wait()
        error, self._error = self._error, None
        if error is not None:
            raise error

    async def _run(self, write: Callable[[], Awaitable[None]]) -> None:
        try:
            await write()
        except Exception as error:  # noqa: BLE001 - who waits for it raises it
            self._error = error
        finally:
            self._done.set()
