"""Where copies of accepted events go besides their own bus: a file, or another bus."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from tailrace.errors import SpoolError
from tailrace.logger import state
from tailrace.logger.draft import Draft, Write

_BUS_SCHEMES = ("memory:",)


def tee(to: str | os.PathLike[str]) -> TeeToFile | TeeToBus:
    """An override that lets each event go on, and copies it as it was accepted: secrets masked, ids and all.

    `to`: the URL of another bus (`kafka://...`, `sqlite:///...`, `memory:...`), or the path of a file of JSON lines.
    A bus gets its copies as the main one does, over a spool of its own under `<home>/tee/`, and nothing waits for it.
    A file gets one write of the system a line, in the logging call. A copy that cannot be made counts in
    `stats().overrides_failed`; the event itself is accepted all the same.
    """
    if isinstance(to, str) and ("://" in to or to.startswith(_BUS_SCHEMES)):
        return TeeToBus(to)
    return TeeToFile(Path(to))


class TeeToFile:
    """Appends one line an event, also from several processes to one file. Not for files that are rotated away."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._opening = threading.Lock()

    def __call__(self, event: Draft, write: Write) -> None:
        accepted = write(event)
        if accepted is not None:
            line = accepted.value + b"\n"
            descriptor = self._descriptor if self._descriptor is not None else self._open()
            if os.write(descriptor, line) != len(line):
                raise OSError(f"{self.path} took only part of a line: the disk may be full")

    def _open(self) -> int:
        with self._opening:
            if self._descriptor is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            return self._descriptor

    def close(self) -> None:
        """Close the file; an event that comes later opens it again."""
        with self._opening:
            descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


class TeeToBus:
    """Hands copies to the publisher of another bus."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, event: Draft, write: Write) -> None:
        accepted = write(event)
        if accepted is not None and not state.relay(self._url).relay(accepted):
            raise SpoolError("the spool of the other bus did not take the copy")
