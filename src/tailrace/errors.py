"""The exception family: one root, one class for each thing a caller can do something about.

Logging calls raise none of these; they count the failure instead (`log.stats()`). The classes are raised
by configuration, by the bus and store protocols and by the command line.
"""

from __future__ import annotations


class TailraceError(Exception):
    """Root of every error that tailrace raises on purpose."""


class ConfigError(TailraceError):
    """A setting is unknown or has a wrong value. The message names the key, where it was set and the fix."""


class EncodeError(TailraceError):
    """An event could not be encoded at all, not even with stand-ins for its values."""


class DecodeError(TailraceError):
    """Bytes that should hold an event or a document do not. Final: the same bytes will fail again."""


class SpoolError(TailraceError):
    """The spool directory cannot be used. The message names the path and the fix."""


class BusError(TailraceError):
    """The bus did not take or give records.

    `retryable` is true when the same call may succeed later (broker down, leader moving) and false when it
    never will (record too large). `fix`: what a person can do about it, where that is known; the message ends with it.
    """

    def __init__(self, message: str, *, retryable: bool, fix: str = "") -> None:
        super().__init__(f"{message}; {fix}" if fix else message)
        self.retryable = retryable
        self.fix = fix


class StoreError(TailraceError):
    """The store did not take or give documents; `retryable` as in `BusError`."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class QueryError(TailraceError):
    """A search cannot be read; the message says where and how to write it."""


class AmbiguousRunError(StoreError):
    """A short run id matches more than one run; `candidates` holds the full ids."""

    def __init__(self, given: str, candidates: list[str]) -> None:
        shown = ", ".join(candidates[:5]) + (", ..." if len(candidates) > 5 else "")  # noqa: PLR2004
        super().__init__(f"{given!r} matches {len(candidates)} runs: {shown}; give more characters", retryable=False)
        self.candidates = candidates


class LongRunError(StoreError):
    """A run is too long to be read at once; `header` is the JSON of its header, which lists its pages."""

    def __init__(self, run_id: str, header: bytes) -> None:
        super().__init__(f"run {run_id} is too long to be read at once; read it page by page", retryable=False)
        self.header = header


class ClosedError(TailraceError):
    """The bus, store or logger was closed before the call."""


class MissingExtraError(TailraceError):
    """An optional dependency is not installed; the message names the extra to install."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional dependency: pip install 'tailrace[{extra}]'")


class UnsupportedPlatformError(TailraceError):
    """The operating system lacks what the spool relies on (flock, O_APPEND): Linux and macOS have it."""
