"""The store of one process: `memory:` or `memory:name`, shared by all who open the same URL, gone when it ends."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from tailrace.config import Config
from tailrace.document import Document
from tailrace.document.restore import restore
from tailrace.errors import ClosedError
from tailrace.store import Page, Query, Rejected, Store
from tailrace.store.entry import (
    MAX_FOUND,
    Entry,
    by_run,
    check_short,
    from_cursor,
    page_size,
    to_cursor,
    wanted_words,
    window,
)
from tailrace.store.pieces import UNUSABLE, LongMerge, Piece, merged, rejected, whole


class _Shelf:
    """The runs behind one URL. The lock makes read, join and write one step."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.entries: dict[str, Entry] = {}
        self.pages: dict[str, dict[str, Piece]] = {}

    def newest_first(self) -> list[Entry]:
        with self.lock:
            entries = list(self.entries.values())
        return sorted(entries, key=lambda entry: entry.place, reverse=True)


_shelves: dict[str, _Shelf] = {}
_shelves_lock = threading.Lock()


def open_store(config: Config) -> Store:
    with _shelves_lock:
        return MemoryStore(_shelves.setdefault(config.store_url, _Shelf()))


class MemoryStore:
    """Implements `Store`. May be used from any thread and event loop; every search looks at every run."""

    def __init__(self, shelf: _Shelf) -> None:
        self._shelf: _Shelf | None = shelf

    async def merge(self, documents: Sequence[Document]) -> list[Rejected]:
        shelf = self._opened()
        runs, refused = by_run(documents)
        for run_id, given in runs.items():
            with shelf.lock:
                present = shelf.entries.get(run_id)
                outcome = merged(given, present.body if present else None)
                if isinstance(outcome, LongMerge):
                    outcome = _merge_long(shelf, given, outcome)
                if isinstance(outcome, Entry):
                    shelf.entries[run_id] = outcome
            if isinstance(outcome, Rejected):
                refused.append(outcome)
        return refused

    async def get(self, run_id: str) -> Document | None:
        entry = self._opened().entries.get(run_id)
        return whole(run_id, entry.body) if entry else None

    async def page(self, run_id: str, page: str) -> Document | None:
        piece = self._opened().pages.get(run_id, {}).get(page)
        return restore(piece.body) if piece else None

    async def find(self, short: str) -> list[str]:
        shelf = self._opened()
        check_short(short)
        ids = (entry.summary.run_id for entry in shelf.newest_first())
        return [run_id for run_id in ids if run_id.startswith(short) or run_id.endswith(short)][:MAX_FOUND]

    async def search(self, query: Query) -> Page:
        shelf = self._opened()
        size, since_until, phrases = page_size(query), window(query), wanted_words(query)
        behind = from_cursor(query.after) if query.after is not None else None
        found = [
            entry
            for entry in shelf.newest_first()
            if (behind is None or entry.place < behind)
            and _matches(entry, query, since_until)
            and all(f" {phrase} " in f" {entry.text} " for phrase in phrases)
        ]
        more = to_cursor(found[size - 1].place) if len(found) > size else None
        return Page([entry.summary for entry in found[:size]], more)

    async def delete(self, run_ids: Sequence[str]) -> int:
        shelf = self._opened()
        with shelf.lock:
            for run_id in run_ids:
                shelf.pages.pop(run_id, None)
            return sum(shelf.entries.pop(run_id, None) is not None for run_id in run_ids)

    async def aclose(self) -> None:
        self._shelf = None

    def _opened(self) -> _Shelf:
        if self._shelf is None:
            raise ClosedError("the memory store was closed")
        return self._shelf


def _merge_long(shelf: _Shelf, given: Document, long: LongMerge) -> Entry | Rejected | None:
    pages = dict(shelf.pages.get(long.run_id, {}))
    try:
        for page in long.parts:
            present = pages.pop(page, None)
            written = long.joined(page, present.body if present else None)
            pages |= written or ({page: present} if present else {})
        texts = [pages[page].text for page in long.count({page: piece.digest for page, piece in pages.items()})]
    except UNUSABLE as error:
        return rejected(given, error)
    shelf.pages[long.run_id] = pages
    return long.entry(texts)


def _matches(entry: Entry, query: Query, since_until: tuple[str, str | None]) -> bool:
    since, until = since_until
    summary = entry.summary
    return (
        (not query.workflows or summary.workflow_name in query.workflows)
        and (not query.statuses or summary.state in query.statuses or entry.status in query.statuses)
        and (not query.agents or not set(query.agents).isdisjoint(summary.agents))
        and entry.started >= since
        and (until is None or entry.started < until)
    )
