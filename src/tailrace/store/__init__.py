"""The store keeps workflow documents and finds them: the words, the contract, and nothing of any server.

`tests/conformance/store.py` states the contract as tests; memory, SQLite and OpenSearch pass the same suite.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from tailrace.document import Document, Summary


class Query(msgspec.Struct, frozen=True):
    """What to find. All given parts must hold; `tailrace.store.grammar.parse` makes one from a line of text."""

    words: tuple[str, ...] = ()
    """Each must occur in the run's text (names, messages, inputs, outputs), as a whole word, in any case."""
    phrases: tuple[str, ...] = ()
    """Each must occur as consecutive words."""
    workflows: tuple[str, ...] = ()
    """Any of these workflow names."""
    statuses: tuple[str, ...] = ()
    """Any of these final statuses or states (`open`, `complete`, `abandoned`), in lower case."""
    agents: tuple[str, ...] = ()
    """Any of these agents took part."""
    since: str | None = None
    """Started at or after this time (RFC 3339, UTC, as in documents)."""
    until: str | None = None
    """Started before this time."""
    limit: int = 50
    after: str | None = None
    """Go on behind the page that gave this `Page.next`."""


class Page(msgspec.Struct, frozen=True):
    """Matching runs, newest start first; `next` is None on the last page."""

    runs: list[Summary]
    next: str | None = None


class Rejected(msgspec.Struct, frozen=True):
    """A document that the store will never take, and why."""

    document: Document
    reason: str


class Store(Protocol):
    """Keeps one joined document a run; a long one as a header and pages of at most 4 MiB each (`document.pages`).

    Methods may be called from any task of one event loop.

    A store connects on its first call, and then creates what it needs (tables, templates).
    """

    async def merge(self, documents: Sequence[Document]) -> list[Rejected]:
        """Join each document with what is stored for its run. Durable when it returns.

        Safe to repeat, and from several processes at once: duplicates, any order and old versions change nothing
        that a newer one brought. Documents that can never be stored come back; the others are stored all the same.

        Raises:
            StoreError: retryable; any part may have been stored, and merging the same again is the way to go on.
        """
        ...

    async def get(self, run_id: str) -> Document | None:
        """The document of a full run id, fresh as of the last `merge` that returned; None if there is none.

        Raises:
            LongRunError: the run is kept in pages.
        """
        ...

    async def page(self, run_id: str, page: str) -> Document | None:
        """One page of a long run, by its id in the header; None if there is none, or if it was cut in two since."""
        ...

    async def find(self, short: str) -> list[str]:
        """Full run ids that begin or end with `short` (at least 4 characters), newest first, at most 10."""
        ...

    async def search(self, query: Query) -> Page:
        """Runs that match. May lag behind `merge` by up to a second (OpenSearch's refresh)."""
        ...

    async def delete(self, run_ids: Sequence[str]) -> int:
        """Remove these runs whole, with their pages; how many of them were there. Durable when it returns.

        Safe to repeat. Searches may still list a run for up to a second. A document that is merged afterwards, or at
        the same time, brings its run back with what it holds itself.

        Raises:
            StoreError: retryable; some may have been removed, or lack pages: deleting the same again is the way to go
                on.
        """
        ...

    async def aclose(self) -> None:
        """Release connections. Idempotent; later calls raise `ClosedError`."""
        ...
