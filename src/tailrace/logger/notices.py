"""What tailrace says to the person at the terminal: lines on stderr, few of them.

Not through `logging`, whose handlers may log to tailrace.
"""

from __future__ import annotations

import contextlib
import sys
import time

from tailrace.event import types

_WARN_SECONDS = 60.0


class Notices:
    """Warnings and hints of one recorder. Any thread; raises nothing."""

    def __init__(self, verbosity: str) -> None:
        self._gives_hints = types.LEVELS[verbosity] <= types.LEVELS["WARNING"]
        self._warned: dict[str, float] = {}
        self._hinted: set[str] = set()

    def warn(self, line: str, *, key: str = "publisher") -> None:
        """One line, at most one a minute a key."""
        now = time.monotonic()
        if now >= self._warned.get(key, 0.0):
            self._warned[key] = now + _WARN_SECONDS
            with contextlib.suppress(Exception):
                sys.stderr.write(f"tailrace: {line}\n")

    def hint(self, kind: str, line: str) -> None:
        """One line about a use that is forgiven, once for each kind; none where the verbosity is above WARNING."""
        if self._gives_hints and kind not in self._hinted:
            self._hinted.add(kind)
            self.warn(f"hint: {line}", key=f"hint {kind}")
