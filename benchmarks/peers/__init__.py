"""The peers: each one way to log an agent's action, in the cheapest form that its makers document.

Libraries are imported by `open`, never by a peer's module: the list of peers needs none of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from pathlib import Path
from typing import ClassVar

from benchmarks.payloads import Payload


class Peer(ABC):
    """A subclass's docstring says exactly what is measured; it stands in the report."""

    name: ClassVar[str]
    sink: ClassVar[str]
    """Where the event is when everything is flushed."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions it needs; it is left out where one is not installed."""
    needs_kafka: ClassVar[bool] = False
    needs_http: ClassVar[bool] = False
    is_async: ClassVar[bool] = False
    """Whether `call` must be awaited."""
    modes: ClassVar[frozenset[str]] = frozenset({"call", "loop"})

    def __init__(self, pool: list[Payload], directory: Path, kafka: str, http: str) -> None:
        self.pool = pool
        self.directory = directory
        self.kafka = kafka
        self.http = http

    async def open(self) -> None:  # noqa: B027 - optional, as are `flush` and `close`
        """Set up. Called once, on the event loop and in the context in which all calls follow."""

    @abstractmethod
    def call(self, i: int) -> Awaitable[None] | None:
        """Log payload `i & MASK`. This is what is timed."""

    async def flush(self) -> None:  # noqa: B027
        """Return when everything logged so far is in the sink."""

    def delivered(self) -> int | None:
        """Events that the sink took so far; None where the peer cannot tell."""
        return None

    def elsewhere_cpu_ns(self) -> int:
        """CPU that processes of the peer's own, beside the one that logs, have taken so far."""
        return 0

    async def close(self) -> None:  # noqa: B027
        """Let go of everything."""


class FilePeer(Peer):
    """A peer that writes lines to a file before the call returns."""

    sink = "file"

    @property
    def path(self) -> Path:
        return self.directory / f"{self.name}.log"

    def delivered(self) -> int:
        with self.path.open("rb") as file:
            return sum(1 for _ in file)
