"""Joining a document into a long run: first its pages, then the header, which alone says which pages there are.

Each piece is written on the condition that nobody else wrote it meanwhile, and the header last. So of two writers one
comes second with the header, reads it again and merges again; what it had added to pages is not lost on either way.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tailrace.document import Document, join
from tailrace.document.restore import restore
from tailrace.document.view import render
from tailrace.store import Rejected
from tailrace.store.opensearch.bulk import CONFLICT, Outcome, Present, lines, read, send
from tailrace.store.opensearch.client import Client
from tailrace.store.opensearch.indexes import Indexes, fields_of, fields_of_page
from tailrace.store.pieces import UNUSABLE, LongMerge, Piece, merged, rejected

_DONE = Outcome(200)
_MOVED = Outcome(CONFLICT)


class _LeftOverError(Exception):
    """A page was found where the header lists none: a writer was interrupted, or is faster than this one."""

    def __init__(self, document: Document) -> None:
        self.document = document


async def merge_long(
    client: Client, indexes: Indexes, given: Document, long: LongMerge, present: Present
) -> Outcome | Rejected:
    """What became of it: done, or why not. A conflict means to read the run again and merge again."""
    try:
        while True:
            try:
                return await _Attempt(client, indexes, long).run(present)
            except _LeftOverError as found:
                given = join(given, found.document)
            outcome = merged(given, present.body)
            if not isinstance(outcome, LongMerge):
                return outcome if isinstance(outcome, Rejected) else _MOVED
            long = outcome
    except UNUSABLE as error:
        return rejected(given, error)


class _Attempt:
    """One pass over the pages of one document."""

    def __init__(self, client: Client, indexes: Indexes, long: LongMerge) -> None:
        self._client = client
        self._indexes = indexes
        self._long = long
        self._written: dict[str, Piece] = {}

    async def run(self, present: Present) -> Outcome:
        for page in self._long.parts:
            outcome = await self._write_page(page)
            if outcome.verdict != "done":
                return outcome
        outcome = await self._write_header(present)
        if outcome.verdict == "done":
            await self._delete_cut()
        return outcome

    async def _write_page(self, page: str) -> Outcome:
        (present,) = await self._read([page], "body")
        pieces = self._long.joined(page, present.body)
        new = [name for name in pieces if name != page]
        there = dict(zip(new, await self._read(new, "body"), strict=True)) | {page: present}
        for name in new:
            _check_left_over(there[name].body, pieces[name].body)
        run_id = self._long.run_id
        writes = [
            lines(self._indexes.page(run_id, name), fields_of_page(run_id, name, piece), there[name])
            for name, piece in pieces.items()
        ]
        for outcome in await send(self._client, writes):
            if outcome.verdict != "done":
                return outcome
        self._written |= {name: msgspec.structs.replace(piece, body=b"") for name, piece in pieces.items()}
        return _DONE

    async def _write_header(self, present: Present) -> Outcome:
        pages = self._long.pages
        others = [page for page in pages if page not in self._written]
        digests = {page: self._written[page].digest for page in pages if page in self._written}
        for page, found in zip(others, await self._read(others, "digest"), strict=True):
            if found.source is None:
                return _MOVED
            digests[page] = found.source.digest.encode()
        texts = [await self._text(page) for page in self._long.count(digests)]
        entry = self._long.entry(texts)
        if entry is None:
            return _DONE
        run_id = self._long.run_id
        target = {"_index": self._indexes.of(run_id), "_id": run_id}
        (outcome,) = await send(self._client, [lines(target, fields_of(entry), present)])
        return outcome

    async def _text(self, page: str) -> str:
        if page in self._written:
            return self._written[page].text
        (found,) = await self._read([page], "text")
        return found.source.text if found.source else ""

    async def _delete_cut(self) -> None:
        """Nobody looks at these pages any more; one that stays takes room, nothing else."""
        cut = [page for page in self._long.parts if page not in self._long.pages]
        run_id = self._long.run_id
        deletes = [msgspec.json.encode({"delete": self._indexes.page(run_id, page)}) + b"\n" for page in cut]
        await send(self._client, deletes)

    async def _read(self, pages: Iterable[str], field: str) -> list[Present]:
        return await read(self._client, [self._indexes.page(self._long.run_id, page) for page in pages], field)


def _check_left_over(stored: bytes | None, body: bytes) -> None:
    if stored is not None:
        document = restore(stored)
        if render(join(document, restore(body))) != body:
            raise _LeftOverError(document)
